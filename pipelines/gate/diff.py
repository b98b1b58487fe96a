"""What differs between two normal forms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lorafleet.contracts.credentials import find_credential
from pipelines.gate.normal import same

Path = tuple[str | int, ...]


class Kind(StrEnum):
    """How a place differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class Difference:
    """One place that differs: what Gate holds (``before``) and what is wanted (``after``)."""

    path: Path
    kind: Kind
    before: Any = None
    after: Any = None

    @property
    def place(self) -> str:
        """The path as people write it: ``stages.deploy.manifests[0].spec``."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    def to_json(self) -> dict[str, Any]:
        """For machines, with what looks like a credential left out."""
        values = {"before": self.before, "after": self.after}
        if self.kind is not Kind.CHANGED:
            del values["before" if self.kind is Kind.ADDED else "after"]
        return {"path": self.place, "kind": self.kind, **{name: shown(value) for name, value in values.items()}}


def differences(held: Any, wanted: Any, path: Path = ()) -> Iterator[Difference]:
    """Every place that differs, in the order of the keys."""
    if isinstance(held, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*held, *wanted}):
            here = (*path, key)
            if key not in held:
                yield Difference(here, Kind.ADDED, after=wanted[key])
            elif key not in wanted:
                yield Difference(here, Kind.REMOVED, before=held[key])
            else:
                yield from differences(held[key], wanted[key], here)
    elif isinstance(held, list) and isinstance(wanted, list):
        for index in range(max(len(held), len(wanted))):
            here = (*path, index)
            if index >= len(held):
                yield Difference(here, Kind.ADDED, after=wanted[index])
            elif index >= len(wanted):
                yield Difference(here, Kind.REMOVED, before=held[index])
            else:
                yield from differences(held[index], wanted[index], here)
    elif not same(held, wanted):
        yield Difference(path, Kind.CHANGED, held, wanted)


def shown(value: Any) -> Any:
    """The value without what looks like a credential: what others wrote into Gate is not ours to print."""
    if isinstance(value, Mapping):
        return {key: shown(child) for key, child in value.items()}
    if isinstance(value, list):
        return [shown(child) for child in value]
    found = find_credential(value)
    return value if found is None else f"({found[1]}, not shown)"
