"""What there is in the stand-in's cloud: one file for each resource, so that a test can look, and change it by hand."""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.engines.pulumi.cloud_standin.values import texts


@dataclass(frozen=True)
class Record:
    """One resource. ``mark`` is what its invented values grow from, so that an update keeps them."""

    token: str
    name: str
    id: str
    mark: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    @property
    def label(self) -> tuple[str, str]:
        return self.token, self.id


class Store:
    """The resources of one cloud, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def all(self) -> Iterator[Record]:
        for path in sorted(self._folder.glob("*.json")):
            yield Record(**json.loads(path.read_text()))

    def get(self, token: str, identity: str) -> Record | None:
        path = self._path(token, identity)
        return Record(**json.loads(path.read_text())) if path.exists() else None

    def put(self, record: Record) -> None:
        path = self._path(*record.label)
        fresh = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex}")
        fresh.write_text(json.dumps(asdict(record), indent=1))
        fresh.replace(path)

    def remove(self, token: str, identity: str) -> None:
        self._path(token, identity).unlink(missing_ok=True)

    def users(self, identity: str) -> list[Record]:
        """The other resources that name this one."""
        return [each for each in self.all() if each.id != identity and identity in texts(dict(each.inputs))]

    def one(self, token: str, name: str) -> Record:
        """The resource that the program calls ``name``."""
        found = [each for each in self.all() if (each.token, each.name) == (token, name)]
        assert len(found) == 1, f"{token} {name}: {len(found)}"
        return found[0]

    def change_by_hand(self, token: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change what the cloud says of a resource, behind the engine's back."""
        record = self.one(token, name)
        outputs: dict[str, Any] = json.loads(json.dumps(record.outputs))
        change(outputs)
        self.put(replace(record, outputs=outputs))

    def _path(self, token: str, identity: str) -> Path:
        return self._folder / f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{token}|{identity}')}.json"
