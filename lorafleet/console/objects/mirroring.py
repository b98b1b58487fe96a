"""Copying finished weights to a backup, by checksum. What was copied once is known by a note beside the copy, since no output changes."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing
from lorafleet.console.objects.store import ObjectFacts, Store, as_file
from lorafleet.contracts import layout
from lorafleet.contracts.problems import Problem

_NOTE_BYTES = 4096


class Done(StrEnum):
    """What became of one object."""

    COPIED = "copied"
    THERE = "there"
    REPAIRED = "repaired"


@dataclass(frozen=True)
class Mirrored:
    """One finished file, and what was done about it. ``size`` in bytes."""

    key: str
    size: int
    done: Done


def mirror_outputs(source: Store, target: Store, verify: bool = False) -> Iterator[Mirrored]:
    """Copy every finished file that ``target`` lacks, and yield them all, by key. Nothing is ever deleted.

    Each is verified by SHA-256 on its way. ``verify`` reads back what is there already as well, and repairs it.

    Raises:
        ObjectDamaged: after the last one, of each file whose own copy in the source is damaged or has gone.
        StoreError: a store does not answer or refuses; what was copied stays.
    """
    spoilt: list[Problem] = []
    for facts in source.list("jobs/"):
        if not layout.is_output(facts.key):
            continue
        try:
            mirrored = _mirror(source, target, facts, verify)
        except (ObjectDamaged, ObjectMissing) as error:
            # It would keep every later file from the backup, again at each run.
            spoilt += error.problems
        else:
            yield mirrored
    if spoilt:
        raise ObjectDamaged(spoilt)


@dataclass(frozen=True)
class _Note:
    size: int
    sha256: str


def _mirror(source: Store, target: Store, facts: ObjectFacts, verify: bool) -> Mirrored:
    note = _read_note(target, facts.key)
    there = note is not None and note.size == facts.size and target.head(facts.key) == facts
    if note is not None and there and (not verify or target.digest(facts.key) == note.sha256):
        return Mirrored(facts.key, facts.size, Done.THERE)
    sha256 = source.digest(facts.key)
    if sha256 is None:
        raise ObjectMissing("the object went while it was copied", where=f"{source.name}/{facts.key}")
    if note is not None and note != _Note(facts.size, sha256):
        raise ObjectDamaged(
            "the source's own copy is not what it was when it was mirrored first",
            where=f"{source.name}/{facts.key}",
            hint="compare it with the console's record of the job, and mend the source",
        )
    target.write(facts.key, as_file(source.read(facts.key)), sha256)
    data = json.dumps({"size": facts.size, "sha256": sha256}, sort_keys=True).encode()
    target.write(layout.mirrored(facts.key), data, hashlib.sha256(data).hexdigest())
    return Mirrored(facts.key, facts.size, Done.COPIED if note is None else Done.REPAIRED)


def _read_note(target: Store, key: str) -> _Note | None:
    try:
        found = json.loads(target.read_bytes(layout.mirrored(key), _NOTE_BYTES))
        return _Note(int(found["size"]), str(found["sha256"]))
    except (ObjectMissing, ValueError, KeyError, TypeError):
        return None
