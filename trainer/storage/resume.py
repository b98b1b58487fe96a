"""Checkpoints in a store: finding the newest whole one and bringing it to a machine that has none."""

import json
import shutil
from pathlib import Path
from typing import Any

from trainer import checkpoint
from trainer.families.base import Control
from trainer.storage.connect import Patience
from trainer.storage.errors import Cause, StoreError, explain
from trainer.storage.fetch import Folder, files_of, one_at_a_time
from trainer.storage.locations import Location
from trainer.storage.store import ObjectFacts, ObjectStore, open_store

FOLDER = "checkpoints"
_BUILDING = ".fetched"


def latest_checkpoint(remote: Location, patience: Patience | None = None) -> Location | None:
    """The newest checkpoint below an output location whose manifest, which is uploaded last, is there.

    Raises:
        StorageError: the store refused.
    """
    found = _published(open_store(remote, patience))
    return remote.child(f"{FOLDER}/{found[0]}") if found else None


def fetch_checkpoint(remote: Location, directory: Path, control: Control, patience: Patience | None = None) -> Path | None:
    """Bring the newest whole checkpoint of ``remote`` to ``directory/checkpoints``, unless one as new is there; return its folder.

    One that turns out damaged is warned of and the next older one taken.

    Raises:
        StorageError: the store or disk refused.
        Preempted, Interrupted: told to stop.
    """
    store = open_store(remote, patience)
    with one_at_a_time(directory / _BUILDING, control):
        local = checkpoint.newest(directory / FOLDER)
        for name in _published(store):
            if local is not None and local.name >= name:
                return local
            try:
                return _bring(store, name, directory, control)
            except StoreError as error:
                if not (error.cause.missing or error.cause.damaged):
                    raise
                control.warn(f"{error}; the checkpoint before it is tried")
        return local


def _published(store: ObjectStore) -> list[str]:
    names = [facts.name.split("/") for facts in store.list(FOLDER)]
    folders = {parts[1] for parts in names if len(parts) == 3 and parts[2] == checkpoint.MANIFEST}
    return sorted((folder for folder in folders if checkpoint.step_of(Path(folder)) is not None), reverse=True)


def _bring(store: ObjectStore, name: str, directory: Path, control: Control) -> Path:
    below = f"{FOLDER}/{name}"
    where = str(store.location.child(below))
    here = {facts.name.removeprefix(f"{below}/"): facts for facts in store.list(below)}
    wanted = {file: here.get(file) for file in (*_named(store, below, where), checkpoint.MANIFEST)}
    gone = [file for file, facts in wanted.items() if facts is None]
    if gone:
        raise StoreError(Cause(f"the checkpoint lacks {gone[0]}", damaged=True), where)
    files = files_of([ObjectFacts(file, facts.size, facts.etag) for file, facts in wanted.items() if facts is not None], where)
    building, target = directory / _BUILDING / name, directory / FOLDER / name
    Folder(building).bring(open_store(store.location.child(below), store.patience), files, control)
    if not checkpoint.is_whole(building):
        shutil.rmtree(building.parent, ignore_errors=True)
        raise StoreError(Cause("the checkpoint does not match its manifest", damaged=True), where)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
        shutil.rmtree(building.parent)
    except OSError as error:
        raise explain(error, str(target)) from None
    return target


def _named(store: ObjectStore, below: str, where: str) -> list[str]:
    try:
        manifest: Any = json.loads(store.read(f"{below}/{checkpoint.MANIFEST}"))
        return [str(name) for name in manifest["files"]]
    except (ValueError, KeyError, TypeError):
        raise StoreError(Cause("the checkpoint's manifest cannot be read", damaged=True), where) from None
