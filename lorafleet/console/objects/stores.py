"""All stores of a fleet together: who may write where, who holds what, and what counts as published."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from lorafleet.console.domain.refusals import Unprocessable
from lorafleet.console.objects.errors import ObjectMissing, StoreError, StoreUnreachable
from lorafleet.console.objects.reachability import PATIENCE_SECONDS, Reachability
from lorafleet.console.objects.store import Store, as_file
from lorafleet.contracts import layout
from lorafleet.contracts.jobs import MESSAGE_BYTES, GrantedObject, Head, Method, ObjectGrant, PublishedObject
from lorafleet.contracts.problems import ConfigError

COPIES = 2
"""In how many stores an object must be, verified, to be *published*."""

_HANDS = 8

Answer = TypeVar("Answer")


class Stores:
    """The stores by name; ``home`` is the home site's, ``backup`` one that belongs to no site.

    ``near`` in a method is the name of the asking site's own store; an unknown or empty one is near to nothing. Safe to use from
    several threads. A store that is dead costs ``patience`` seconds once, and is asked again in the background.

    Raises:
        ConfigError: ``home`` or ``backup`` is none of them.
    """

    def __init__(
        self, by_name: Mapping[str, Store], home: str, backup: str | None = None, patience: float = PATIENCE_SECONDS
    ) -> None:
        for name in (home, *([backup] if backup else [])):
            if name not in by_name:
                raise ConfigError(f"there is no store {name!r}", hint=f"stores: {', '.join(sorted(by_name))}")
        self.by_name = dict(by_name)
        self.home = home
        self.backup = backup
        self._patience = patience
        self._alive = {name: Reachability(store.probe, patience=patience) for name, store in by_name.items()}
        self._said: dict[str, str] = {}
        # Two, because a question must not wait behind gigabytes.
        self._askers = ThreadPoolExecutor(_HANDS, thread_name_prefix="stores-ask")
        self._movers = ThreadPoolExecutor(_HANDS, thread_name_prefix="stores-move")

    def close(self) -> None:
        """Let the threads go."""
        for pool in (self._askers, self._movers):
            pool.shutdown(wait=False, cancel_futures=True)

    def reachable(self, near: str = "") -> tuple[str, ...]:
        """The stores that answer: the near one first, then home, backup and the others by name."""
        order = self._order(near)
        until = time.monotonic() + self._patience
        # All are asked before the first is waited for, so that two dead ones cost no more than one.
        for name in order:
            self._alive[name].begin()
        return tuple(name for name in order if self._alive[name].ask(until - time.monotonic()))

    def grants_to_write(self, near: str, objects: Sequence[GrantedObject], lifetime: timedelta) -> tuple[ObjectGrant, ...]:
        """Leave to write each object in the near store and in one more, or in two others where the near one does not answer.

        Where one store alone answers the grants are for that one: what is written there is safe, but cannot be published yet.

        Raises:
            Unprocessable: an object's size or SHA-256 was not said.
            StoreUnreachable: no store answers.
        """
        for item in objects:
            if item.size is None or item.sha256 is None:
                raise Unprocessable("size and sha256 must be said before writing", where=item.key)

        def allow(store: Store) -> list[ObjectGrant]:
            return [store.grant(item.key, Method.PUT, lifetime=lifetime, size=item.size, sha256=item.sha256) for item in objects]

        allowed: list[list[ObjectGrant]] = []
        for name in self.reachable(near):
            if len(allowed) < COPIES and (grants := self._ask(name, allow)):
                allowed.append(grants)
        if not allowed:
            raise self._silence()
        return tuple(grant for grants in zip(*allowed, strict=True) for grant in grants)

    def grants_to_read(self, near: str, keys: Sequence[str], lifetime: timedelta) -> tuple[ObjectGrant, ...]:
        """Leave to read each object in the two nearest stores that hold it.

        Raises:
            ObjectMissing: no store that answers holds one of them.
            StoreUnreachable: no store answers.
        """
        names = self.reachable(near)

        def allow(key: str) -> list[ObjectGrant]:
            holders = self._holders(key, names)[:COPIES]
            found = [self._ask(name, lambda store: store.grant(key, Method.GET, lifetime=lifetime)) for name in holders]
            return [grant for grant in found if grant is not None]

        allowed = list(self._askers.map(allow, keys))
        for key, grants in zip(keys, allowed, strict=True):
            if not grants:
                raise self._nowhere(key, names)
        return tuple(grant for grants in allowed for grant in grants)

    def find(self, key: str, near: str = "") -> Store:
        """The nearest store that holds an object.

        Raises:
            ObjectMissing: none that answers does.
            StoreUnreachable: none answers.
        """
        names = self.reachable(near)
        holders = self._holders(key, names)
        if not holders:
            raise self._nowhere(key, names)
        return self.by_name[holders[0]]

    def verify(self, objects: Sequence[PublishedObject], stores: Iterable[str] | None = None) -> tuple[str, ...]:
        """Those of ``stores`` (by default of all) that hold every object with its size and SHA-256, read back from there.

        Published is what at least :data:`COPIES` of them hold. A store that does not answer holds nothing for now.
        """
        asked = [name for name in self.reachable() if stores is None or name in set(stores)]
        pairs = [(name, item) for name in asked for item in objects]
        good = self._movers.map(lambda pair: self._holds(*pair), pairs)
        failed = {name for (name, _), holds in zip(pairs, good, strict=True) if not holds}
        return tuple(name for name in asked if name not in failed)

    def write(self, files: Sequence[tuple[PublishedObject, Path]], near: str = "") -> tuple[str, ...]:
        """Write files to the near store (by default home) and one more, and return the stores that hold all of them now.

        Raises:
            StoreError: fewer than two stores took all of them; what was written can be written again.
            OSError: a file cannot be read.
        """

        def put(name: str) -> bool:
            return all(self._ask(name, lambda store, pair=pair: _write_file(store, *pair)) for pair in files)  # type: ignore[misc]

        names = self.reachable(near)
        first, others = names[:COPIES], names[COPIES:]
        written = [name for name, good in zip(first, self._movers.map(put, first), strict=True) if good]
        for name in others:
            if len(written) < COPIES and put(name):
                written.append(name)
        if len(written) < COPIES:
            raise StoreError(
                f"only {len(written)} of the {COPIES} stores that are needed took the files",
                hint="; ".join(self._reason(name) for name in self._order(near) if name not in written),
            )
        return tuple(written)

    def mirror(self, objects: Sequence[PublishedObject], source: str, target: str) -> tuple[PublishedObject, ...]:
        """Copy to ``target`` those objects that it lacks or has damaged, and return them; each is verified on the way.

        Raises:
            StoreError: a store does not answer or refuses, or the source's copy is missing or damaged.
        """
        lacking = [item for item in objects if not _is_same(self.by_name[target], item)]
        for item in lacking:
            blocks = self.by_name[source].read(item.key)
            self.by_name[target].write(item.key, as_file(blocks), item.sha256)
        return tuple(lacking)

    def lacking(self, objects: Sequence[PublishedObject], name: str) -> tuple[PublishedObject, ...]:
        """Those that a store has not, or in another size. It lists them, a thousand at a request, and reads none.

        Raises:
            StoreError: it does not answer or refuses.
        """
        folders = sorted({item.key.rpartition("/")[0] + "/" for item in objects})
        there = {(facts.key, facts.size) for folder in folders for facts in self.by_name[name].list(folder)}
        return tuple(item for item in objects if (item.key, item.size) not in there)

    def write_head(self, job: str, head: Head) -> tuple[str, ...]:
        """Write ``jobs/<id>/HEAD.json`` to every store that answers, and return those that have it now, or a newer one.

        It is a copy for disaster: a store that misses it is no reason to stop.
        """
        names = self.reachable()
        took = self._askers.map(lambda name: self._ask(name, lambda store: _write_head(store, job, head)), names)
        return tuple(name for name, good in zip(names, took, strict=True) if good)

    def _order(self, near: str) -> tuple[str, ...]:
        first = [name for name in (near, self.home, self.backup) if name in self.by_name]
        return tuple(dict.fromkeys([*first, *sorted(self.by_name)]))

    def _holders(self, key: str, names: Sequence[str]) -> list[str]:
        return [name for name in names if self._ask(name, lambda store: store.head(key)) is not None]

    def _nowhere(self, key: str, names: Sequence[str]) -> StoreError:
        if not names:
            return self._silence()
        return ObjectMissing(f"no store that answers holds this object ({', '.join(names)} do not)", where=key)

    def _silence(self) -> StoreUnreachable:
        return StoreUnreachable("no store answers", hint="; ".join(self._reason(name) for name in self._order("")))

    def _reason(self, name: str) -> str:
        said = self._alive[name].reason or self._said.get(name, "it was not asked")
        return said if said.startswith(name) else f"{name}: {said}"

    def _holds(self, name: str, item: PublishedObject) -> bool:
        return bool(self._ask(name, lambda store: _is_same(store, item)))

    def _ask(self, name: str, question: Callable[[Store], Answer]) -> Answer | None:
        try:
            return question(self.by_name[name])
        except StoreUnreachable as error:
            self._alive[name].failed(str(error))
        except StoreError as error:
            self._said[name] = str(error)
        return None


def _is_same(store: Store, item: PublishedObject) -> bool:
    facts = store.head(item.key)
    return facts is not None and facts.size == item.size and store.digest(item.key) == item.sha256


def _write_head(store: Store, job: str, head: Head) -> bool:
    key = layout.head(job)
    try:
        there = Head.model_validate_json(store.read_bytes(key, MESSAGE_BYTES))
    except (ObjectMissing, ValueError):
        there = None
    # A message that comes twice, late, must not turn the copy back.
    if there is None or (there.fence, there.step) <= (head.fence, head.step):
        data = head.model_dump_json().encode()
        store.write(key, data, sha256(data).hexdigest())
    return True


def _write_file(store: Store, item: PublishedObject, path: Path) -> bool:
    if not _is_same(store, item):
        with path.open("rb") as file:
            store.write(item.key, file, item.sha256)
    return True
