"""Copying finished files to a store while training goes on: verified, tried again until it works, and never half-visible."""

import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lorafleet.contracts.problems import LorafleetError, Problem, StorageError
from trainer.digests import sha256_of
from trainer.storage.connect import Patience
from trainer.storage.errors import StoreError, explain
from trainer.storage.locations import Location
from trainer.storage.store import ObjectStore, open_store

MANIFEST = "MANIFEST.json"
# A request that fails soon is better than one that is repeated inside: the publisher tries again by itself, and says so.
_PATIENCE = Patience(retries=2, retry_for=20.0)
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_FINAL_SECONDS = 300.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Status:
    """How publishing stands: files and folders ``waiting``, ``published`` so far, and why the last try failed, if it did."""

    waiting: int
    published: int
    trouble: str


@dataclass(eq=False)
class _Task:
    name: str
    due: float = 0.0
    tries: int = 0
    what: str = "file"
    last: str = ""
    hopeless: bool = False
    # Of a folder: the version that is being uploaded, by its last file's hash, and the files of it that are through.
    version: str = ""
    through: set[str] = field(default_factory=set)


class Publisher:
    """Copies files below ``root`` to the same names below ``remote``, on a thread of its own.

    A failure is told to ``warn`` once until things work again, and tried again with waits that double to a minute. Local files are
    never touched. Proof of each upload is reading it back and comparing SHA-256, which every kind of store gives alike.

    Raises:
        ConfigError, StoreError: the environment's settings for the store are wrong.
    """

    def __init__(
        self,
        root: Path,
        remote: Location,
        *,
        warn: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
        patience: Patience = _PATIENCE,
        first_wait: float = _FIRST_WAIT,
    ) -> None:
        self._root = root
        self._store: ObjectStore = open_store(remote, patience)
        self._warn = warn
        self._check = check
        self._first_wait = first_wait
        self._changed = threading.Condition()
        self._tasks: list[_Task] = []
        self._current: _Task | None = None
        self._published = 0
        self._trouble = ""
        self._closing = False
        self._thread: threading.Thread | None = None

    def prove(self) -> None:
        """Write, read back and remove a small object.

        Raises:
            StoreError: the store cannot be published to.
        """
        probe = f".write-probe-{secrets.token_hex(8)}"
        with TemporaryDirectory() as folder:
            path = Path(folder) / "probe"
            path.write_bytes(b"lorafleet")
            self._store.verify(probe, self._store.put(probe, path))
        try:
            self._store.delete(probe)
        except StoreError as error:
            self._warn(f"old checkpoints will stay in the store, nothing may be removed there: {error}")

    def publish(self, path: Path) -> None:
        """Copy a file as it is when its turn comes; one that changes later is to be published again."""
        self._add(_Task(self._name(path)))

    def publish_directory(self, folder: Path, last: str = MANIFEST) -> None:
        """Copy a folder, its file ``last`` last, so that whoever sees that one sees all."""
        self._add(_Task(self._name(folder), what="folder", last=last))

    def retire(self, folder: Path, first: str = MANIFEST) -> None:
        """Remove a folder from the store, its file ``first`` first. It waits for the folders before it, which replace this one."""
        self._add(_Task(self._name(folder), what="retired", last=first))

    @property
    def status(self) -> Status:
        """How publishing stands."""
        with self._changed:
            return Status(len(self._tasks), self._published, self._trouble)

    def flush(self, seconds: float) -> list[str]:
        """Try everything now, for at most so long; return the names of what is not published, which goes on being tried."""
        return self._flush(seconds, lambda: None)

    def flush_or_fail(self, seconds: float = _FINAL_SECONDS) -> None:
        """Wait for everything to be published.

        Raises:
            StorageError: something is not published after ``seconds``; the local files are all there.
            Preempted, Interrupted: told to stop meanwhile, by the ``check`` that was given.
        """
        left = self._flush(seconds, self._check)
        if left:
            trouble = self.status.trouble or "the store takes too long"
            problems = [Problem(f"not published to {self._store.location}: {trouble}", name) for name in left]
            hint = f"the files are kept in {self._root}; the same command tries again"
            raise StorageError([*problems[:-1], Problem(problems[-1].what, problems[-1].where, hint)])

    def close(self) -> None:
        """Stop. What is not published stays on the local disk."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _add(self, task: _Task) -> None:
        with self._changed:
            if task.what == "retired":
                self._tasks = [other for other in self._tasks if other.name != task.name or other is self._current]
            elif any((other.name, other.what) == (task.name, task.what) and other is not self._current for other in self._tasks):
                return
            self._tasks.append(task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _flush(self, seconds: float, check: Callable[[], None]) -> list[str]:
        until = time.monotonic() + seconds
        with self._changed:
            for task in self._tasks:
                task.due, task.hopeless = 0.0, False
            self._changed.notify_all()
            while self._may_get_on() and (left := until - time.monotonic()) > 0:
                check()
                self._changed.wait(min(left, _LOOK_SECONDS))
            return [task.name for task in self._tasks if task.what != "retired"]

    def _may_get_on(self) -> bool:
        folders = any(task.what == "folder" for task in self._tasks)
        return not self._closing and any(not task.hopeless and not (task.what == "retired" and folders) for task in self._tasks)

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._do(task)
                self._done(task, published=task.what != "retired")
            except Exception as error:  # noqa: BLE001  (nothing a store does may end the publishing of what follows)
                if self._is_gone(task):
                    self._done(task, published=False)
                else:
                    self._failed(task, error)

    def _next(self) -> _Task | None:
        with self._changed:
            while not self._closing:
                now, behind_a_folder = time.monotonic(), False
                wait: float | None = None
                for task in self._tasks:
                    if task.what == "retired" and behind_a_folder:
                        continue
                    if task.due <= now:
                        self._current = task
                        return task
                    wait = task.due - now if wait is None else min(wait, task.due - now)
                    behind_a_folder = behind_a_folder or task.what == "folder"
                self._changed.wait(wait)
            return None

    def _do(self, task: _Task) -> None:
        if task.what == "file":
            self._upload(task.name)
        elif task.what == "folder":
            self._upload_folder(task)
        else:
            self._store.delete(f"{task.name}/{task.last}")
            for facts in self._store.list(task.name):
                self._store.delete(facts.name)

    def _upload_folder(self, task: _Task) -> None:
        folder = self._root / task.name
        version = _version(folder / task.last)
        if task.version != version:
            task.version, task.through = version, set()
            if self._store.head(f"{task.name}/{task.last}") is not None:
                self._store.delete(f"{task.name}/{task.last}")
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        for name in names:
            if name not in {task.last, *task.through}:
                self._upload(f"{task.name}/{name}")
                task.through.add(name)
        if self._upload(f"{task.name}/{task.last}") != version:
            self._store.delete(f"{task.name}/{task.last}")
            raise StorageError("the folder changed while it was published", where=str(folder))

    def _upload(self, name: str) -> str:
        digest = self._store.put(name, self._root / name)
        self._store.verify(name, digest, self._while_open)
        return digest

    def _is_gone(self, task: _Task) -> bool:
        # A folder that was pruned before its turn came: what was uploaded of it has no manifest and goes when it is retired.
        return task.what != "retired" and not (self._root / task.name / task.last).exists()

    def _while_open(self, count: int) -> None:
        if self._closing:
            raise StorageError("the publisher was closed")

    def _failed(self, task: _Task, error: Exception) -> None:
        reason = str(error) if isinstance(error, LorafleetError) else type(error).__name__
        with self._changed:
            self._current = None
            task.tries += 1
            task.hopeless = task.what == "retired" or (isinstance(error, StoreError) and not error.cause.transient)
            wait = min(_LONGEST_WAIT, self._first_wait * 2 ** (task.tries - 1)) * random.uniform(0.5, 1.0)
            task.due = time.monotonic() + wait
            news = task.tries == 1 and not self._trouble and not self._closing
            self._trouble = reason
            self._changed.notify_all()
        if news:
            self._warn(f"{task.name} is not published yet: {reason}; training goes on and it is tried again")

    def _done(self, task: _Task, *, published: bool) -> None:
        with self._changed:
            self._current = None
            self._tasks.remove(task)
            self._published += published
            self._trouble = ""
            self._changed.notify_all()


def _version(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise explain(error, str(path)) from None
