"""Samples, checkpoints and finished weights on their way into the stores, on a thread that never holds the training up."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import (
    CheckpointPublished,
    GrantedObject,
    GrantRequest,
    Grants,
    Method,
    ObjectGrant,
    PublishedObject,
    SamplePublished,
)
from lorafleet.contracts.problems import LorafleetError, Problem, StorageError
from trainer.digests import sha256_of
from trainer.worker.backoff import Backoff
from trainer.worker.channel import Sampled, Saved
from trainer.worker.transfer import Abandoned, put
from trainer.worker.wire import Console, Fenced, MessageRefused, TokenRefused

COPIES = 2
"""Stores that must hold an object before it counts as published."""

_MOST_SAMPLES = 64
# Grants of 64 at most answer a request, so that four stores have room.
_BATCH = 16
_HANDS = 4
_LOOK_SECONDS = 0.5
# The console reads the objects back from two stores before it answers.
_VERIFYING_SECONDS = 120.0


@dataclass(frozen=True)
class LocalObject:
    """A local file and the object that it becomes."""

    path: Path
    object: PublishedObject


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample that waits."""

    step: int
    path: Path
    prompt: str


class Uploader:
    """Puts local files into the stores that the console grants, all stores at once. What is through is not sent again."""

    def __init__(self, console: Console, job: str, fence: int, stop: threading.Event) -> None:
        self._console = console
        self._job = job
        self._fence = fence
        self._stop = stop
        self._through: set[tuple[str, str]] = set()

    def upload(self, files: Sequence[LocalObject]) -> tuple[str, ...]:
        """Upload, and return the stores that hold all of the files; fewer than are needed may be among them.

        Raises:
            StorageError: no store was granted, or none took everything.
            ConsoleUnreachable, Fenced, TokenRefused, MessageRefused: by the console.
            Abandoned: told to stop, or a file is gone.
        """
        holding: set[str] | None = None
        failures: list[StorageError] = []
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            by_store = _by_store(self._grants(batch))
            with ThreadPoolExecutor(_HANDS, thread_name_prefix="upload") as pool:
                results = list(pool.map(lambda store, batch=batch: self._to_store(store, batch), by_store.items()))
            failures += [error for _, error in results if error is not None]
            good = {store for store, error in results if error is None}
            holding = good if holding is None else holding & good
        if not holding:
            raise failures[-1] if failures else StorageError("the console grants no store now", hint="it looks for them again")
        return tuple(sorted(holding))

    def forget(self, files: Sequence[LocalObject]) -> None:
        """Send these again when they are asked for again."""
        keys = {file.object.key for file in files}
        self._through = {pair for pair in self._through if pair[1] not in keys}

    def _grants(self, files: Sequence[LocalObject]) -> Sequence[ObjectGrant]:
        objects = tuple(GrantedObject(key=file.object.key, size=file.object.size, sha256=file.object.sha256) for file in files)
        request = GrantRequest(job=self._job, fence=self._fence, method=Method.PUT, objects=objects)
        return self._console.ask(paths.GRANTS, request, Grants).grants

    def _to_store(
        self, granted: tuple[str, dict[str, ObjectGrant]], files: Sequence[LocalObject]
    ) -> tuple[str, StorageError | None]:
        store, grants = granted
        for file in files:
            if (store, file.object.key) in self._through:
                continue
            grant = grants.get(file.object.key)
            if grant is None:
                return store, StorageError("no leave to write", where=f"{store}: {file.object.key}")
            try:
                put(grant, file.path, file.object.size, self._go_on)
            except StorageError as error:
                return store, error
            self._through.add((store, file.object.key))
        return store, None

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Abandoned


Task = Saved | Sample | tuple[Path, ...]


class Publisher:
    """Publishes what the training process leaves, newest checkpoint first; one that a newer overtakes is let go.

    ``say`` gets one line when publishing begins to fail and when it works again; ``on_fenced`` as in the outbox; ``on_published``
    each published step.
    """

    def __init__(
        self,
        console: Console,
        job: str,
        fence: int,
        release: str,
        *,
        say: Callable[[str], None],
        on_fenced: Callable[[str], None],
        on_published: Callable[[int], None],
    ) -> None:
        self._console = console
        self._job = job
        self._fence = fence
        self._release = release
        self._say = say
        self._on_fenced = on_fenced
        self._on_published = on_published
        self._stop = threading.Event()
        self._uploader = Uploader(console, job, fence, self._stop)
        self._samples = deque[Sample](maxlen=_MOST_SAMPLES)
        self._checkpoint: Saved | None = None
        self._wanted: tuple[Path, ...] = ()
        self._finished: tuple[LocalObject, ...] = ()
        self.outputs: tuple[PublishedObject, ...] = ()
        self._changed = threading.Condition()
        self._backoff = Backoff()
        self._failing = False
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def checkpoint(self, saved: Saved) -> None:
        """Take a checkpoint in place of an older one that still waits."""
        with self._changed:
            self._checkpoint = saved
            self._changed.notify_all()

    def samples(self, sampled: Sampled) -> None:
        """Take samples; of too many the oldest are let go."""
        with self._changed:
            self._samples.extend(Sample(sampled.step, Path(file.path), file.prompt) for file in sampled.files)
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not self._busy and self._next() is None

    def stop(self) -> None:
        """Write nothing more, from the next chunk on."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def finish(self, files: Sequence[str]) -> None:
        """Publish the finished files after everything else; they are in :attr:`outputs` then. Called again, it sends them again."""
        with self._changed:
            self._uploader.forget(self._finished)
            self._wanted, self.outputs = tuple(Path(file) for file in files), ()
            self._changed.notify_all()

    @property
    def owes(self) -> bool:
        """Whether a checkpoint or finished files wait; samples alone are not worth a long wait at the end."""
        with self._changed:
            return self._checkpoint is not None or bool(self._wanted)

    def _next(self) -> Task | None:
        """What is the most pressing: a checkpoint may save hours."""
        return self._checkpoint or self._wanted or (self._samples[0] if self._samples else None)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                task = self._next()
                if task is None:
                    self._changed.wait(_LOOK_SECONDS)
                    continue
                self._busy = True
            try:
                self._publish(task)
            except (Fenced, TokenRefused) as error:
                self._stop.set()
                self._on_fenced(error.problems[0].what)
            except Abandoned:
                # Told to stop, or the trainer pruned the checkpoint because a newer one is there.
                self._done(task)
            except LorafleetError as error:
                self._failed(error.problems[0])
            except Exception as error:  # noqa: BLE001  (a thread that died would leave hours of training unpublished)
                self._failed(Problem(f"{type(error).__name__}: {error}"))
            else:
                self._works()
                self._done(task)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _publish(self, task: Task) -> None:
        if isinstance(task, Saved):
            self._publish_checkpoint(task)
        elif isinstance(task, Sample):
            self._publish_sample(task)
        else:
            self._finished = tuple(_local(path, layout.output_object(self._job, self._fence, path.name)) for path in task)
            self._in_two_stores(self._finished)
            self.outputs = tuple(file.object for file in self._finished)

    def _done(self, task: Task) -> None:
        with self._changed:
            # Meanwhile a newer checkpoint may have taken its place.
            if self._checkpoint is task:
                self._checkpoint = None
            elif self._samples and self._samples[0] is task:
                self._samples.popleft()
            elif self._wanted is task:
                self._wanted = ()

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            self._say("publishing works again")
        self._backoff.reset()

    def _failed(self, problem: Problem) -> None:
        if not self._failing:
            self._failing = True
            self._say(f"publishing fails and is tried again: {problem}")
        until = monotonic() + self._backoff.wait()
        with self._changed:
            before = self._checkpoint
            while not self._stop.is_set() and self._checkpoint is before and (left := until - monotonic()) > 0:
                self._changed.wait(left)

    def _publish_checkpoint(self, saved: Saved) -> None:
        folder = Path(saved.path)
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        if not names:
            raise Abandoned
        files = [_local(folder / name, layout.step_object(self._job, self._fence, saved.step, name)) for name in names]
        message = CheckpointPublished(
            job=self._job,
            fence=self._fence,
            step=saved.step,
            release=self._release,
            format_version=saved.format_version,
            objects=tuple(file.object for file in files),
            stores=self._in_two_stores(files),
        )
        try:
            self._console.send(paths.CHECKPOINT, message, _VERIFYING_SECONDS)
        except MessageRefused:
            # It did not find the objects as they should be.
            self._uploader.forget(files)
            raise
        self._uploader.forget(files)
        self._on_published(saved.step)

    def _publish_sample(self, sample: Sample) -> None:
        file = _local(sample.path, layout.sample_object(self._job, self._fence, sample.step, sample.path.name))
        self._uploader.upload([file])
        message = SamplePublished(job=self._job, fence=self._fence, step=sample.step, prompt=sample.prompt, object=file.object)
        # One picture that is refused must not keep the others waiting.
        with suppress(MessageRefused):
            self._console.send(paths.SAMPLE, message)

    def _in_two_stores(self, files: Sequence[LocalObject]) -> tuple[str, ...]:
        stores = self._uploader.upload(files)
        if len(stores) < COPIES:
            raise StorageError(f"only {', '.join(stores)} took it", hint="it is offered to a second store again")
        return stores


def _local(path: Path, key: str) -> LocalObject:
    try:
        return LocalObject(path, PublishedObject(key=key, size=path.stat().st_size, sha256=sha256_of(path)))
    except FileNotFoundError:
        raise Abandoned from None
    except OSError as error:
        raise StorageError(f"a file cannot be read: {error.strerror}", where=str(path)) from None


def _by_store(grants: Sequence[ObjectGrant]) -> dict[str, dict[str, ObjectGrant]]:
    stores: dict[str, dict[str, ObjectGrant]] = {}
    for grant in grants:
        if grant.method is Method.PUT:
            stores.setdefault(grant.store, {})[grant.key] = grant
    return stores
