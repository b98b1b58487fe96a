"""Bringing what a job needs: its data set and the checkpoint that it goes on from, from the nearest store that gives it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import (
    MAX_OBJECTS,
    AttemptSecrets,
    DatasetFiles,
    DatasetRequest,
    GrantedObject,
    GrantRequest,
    Grants,
    Lease,
    Method,
    ObjectGrant,
    PublishedObject,
    SecretsRequest,
)
from lorafleet.contracts.problems import ConfigError, DataError, LorafleetError, StorageError
from trainer.worker.backoff import Backoff
from trainer.worker.transfer import Abandoned, TransferFailed, get
from trainer.worker.wire import Console, ConsoleUnreachable

Answer = TypeVar("Answer")

_HANDS = 8
_TRIES = 8


class Fetcher:
    """Fetches for one lease. ``stop`` ends it between two chunks, by :class:`~trainer.worker.transfer.Abandoned`."""

    def __init__(self, console: Console, lease: Lease, stop: threading.Event, backoff: Backoff | None = None) -> None:
        self._console = console
        self._lease = lease
        self._stop = stop
        self._backoff = backoff or Backoff()
        self._job = lease.job

    def secrets(self) -> dict[str, SecretStr]:
        """What the job's team keeps for its training processes, as environment variables.

        Raises:
            ConfigError: the console cannot decrypt one any more, which only the team can mend.
            Fenced, TokenRefused, MessageRefused: by the console.
            Abandoned: told to stop.
        """
        request = SecretsRequest(job=self._job.id, fence=self._lease.fence)
        answer = self._persistently(lambda: self._console.ask(paths.SECRETS, request, AttemptSecrets))
        if answer.unreadable:
            raise ConfigError(
                "the console cannot decrypt a secret of this team any more",
                where=", ".join(answer.unreadable),
                hint="set it anew: lorafleet secret set NAME",
            )
        return answer.secrets

    def dataset(self, folder: Path) -> int:
        """Fill the folder with the data set's files and return their number.

        Raises:
            DataError: the version has no files.
            StorageError: no store gives a file, after several tries; or the local disk refused.
            Fenced, TokenRefused, MessageRefused: by the console.
            Abandoned: told to stop.
        """
        dataset = self._job.dataset
        files = list(self._files())
        if not files:
            raise DataError(
                "the data set version has no files", where=f"{dataset.dataset} {dataset.version}", hint="upload it again"
            )
        self._bring({item: folder / _relative(item.key, dataset.dataset) for item in files}, ())
        return len(files)

    def checkpoint(self, folder: Path) -> Path | None:
        """Fill the folder with the checkpoint to go on from and return it; None where the job begins anew. Raises as above."""
        resume = self._job.resume
        if resume is None:
            return None
        targets = {}
        for item in resume.objects:
            parsed = layout.parse_step_object(item.key)
            if parsed is None:
                raise StorageError("this is no checkpoint's object", where=item.key)
            targets[item] = folder / parsed.name
        self._bring(targets, self._lease.grants)
        return folder

    def _files(self) -> Iterator[PublishedObject]:
        after = None
        while True:
            request = DatasetRequest(job=self._job.id, fence=self._lease.fence, after=after)
            answer = self._persistently(lambda request=request: self._console.ask(paths.DATASET, request, DatasetFiles))  # type: ignore[misc]
            yield from answer.files
            if not answer.more or not answer.files:
                return
            after = answer.files[-1].key

    def _bring(self, targets: dict[PublishedObject, Path], granted: Sequence[ObjectGrant]) -> None:
        missing = dict(targets)
        with ThreadPoolExecutor(_HANDS, thread_name_prefix="fetch") as pool:
            for attempt in range(_TRIES):
                failures: list[TransferFailed] = []
                for batch in _batches(list(missing), MAX_OBJECTS):
                    grants = granted if attempt == 0 and _covers(granted, batch) else self._granted(batch)
                    for item, failure in pool.map(lambda item, grants=grants: self._one(item, targets[item], grants), batch):
                        if failure is None:
                            del missing[item]
                        else:
                            failures.append(failure)
                if not missing:
                    return
                if attempt == _TRIES - 1:
                    raise failures[-1]
                self._pause()

    def _one(
        self, item: PublishedObject, target: Path, grants: Sequence[ObjectGrant]
    ) -> tuple[PublishedObject, TransferFailed | None]:
        failure = TransferFailed(f"no store gives {item.key}")
        for grant in grants:
            if grant.key == item.key and grant.method is Method.GET:
                try:
                    get(grant, item, target, self._go_on)
                except TransferFailed as error:
                    failure = error
                else:
                    return item, None
        return item, failure

    def _granted(self, items: Sequence[PublishedObject]) -> Sequence[ObjectGrant]:
        request = GrantRequest(
            job=self._job.id,
            fence=self._lease.fence,
            method=Method.GET,
            objects=tuple(GrantedObject(key=item.key, size=item.size, sha256=item.sha256) for item in items),
        )
        return self._persistently(lambda: self._console.ask(paths.GRANTS, request, Grants)).grants

    def _persistently(self, ask: Callable[[], Answer]) -> Answer:
        while True:
            try:
                answer = ask()
            except ConsoleUnreachable:
                self._pause()
            else:
                self._backoff.reset()
                return answer

    def _pause(self) -> None:
        self._stop.wait(self._backoff.wait())
        self._go_on()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Abandoned


def _relative(key: str, dataset: str) -> str:
    # The console's word, but a key with '..' would write outside of the folder.
    found = layout.parse_dataset_object(key)
    if found is None or found.dataset != dataset:
        raise LorafleetError("the console names a file outside of the data set", where=key)
    return found.name


def _covers(grants: Sequence[ObjectGrant], items: Sequence[PublishedObject]) -> bool:
    return {item.key for item in items} <= {grant.key for grant in grants}


def _batches(items: Sequence[PublishedObject], size: int) -> Iterator[Sequence[PublishedObject]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
