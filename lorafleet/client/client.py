"""The console's API from Python. It imports no server code and needs the base installation only."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from pydantic import BaseModel, TypeAdapter, ValidationError

from lorafleet.client.address import Address
from lorafleet.client.events import ServerEvent, read_events
from lorafleet.client.multipart import FormFile, MultipartBody
from lorafleet.client.refusals import ConsoleUnreachable, UnexpectedAnswer, raise_for_problem, unreachable
from lorafleet.contracts.checkup import Checkup
from lorafleet.contracts.console_api import (
    AttemptView,
    CheckpointView,
    Continuation,
    DatasetView,
    Draft,
    Estimate,
    EventView,
    JobRow,
    JobView,
    LogView,
    NewDataset,
    NewJob,
    NewQuota,
    NewSecret,
    PageOf,
    ProbeJob,
    QuotaView,
    SecretView,
    VersionView,
    Who,
)
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.paths import API
from lorafleet.contracts.problems import LorafleetError

Model = TypeVar("Model")

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_TRIES = 5
_FIRST_PAUSE_SECONDS = 0.25


class Client:
    """The console at ``address.url``, spoken to with ``address.token``. Not to be shared by threads.

    Reading is tried again for a while where the console does not answer or is busy, and so is what carries an idempotency key.
    Every method raises :class:`~lorafleet.client.refusals.ConsoleRefused` with the console's own words where it refuses, and
    :class:`~lorafleet.client.refusals.ConsoleUnreachable` where it does not answer.
    """

    def __init__(self, address: Address, sleep: Callable[[float], None] = time.sleep) -> None:
        self._address = address
        self._sleep = sleep
        self._session = requests.Session()
        # Neither proxies nor a .netrc may see the token.
        self._session.trust_env = False
        if address.token is not None:
            self._session.headers["Authorization"] = f"Bearer {address.token.get_secret_value()}"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def who(self) -> Who:
        """Whom the console takes the caller for."""
        return self._get("/me", Who)

    def checkup(self) -> Checkup:
        """What the console finds out about its own set-up; for administrators of the fleet."""
        return self._get("/checkup", Checkup)

    def create_dataset(self, name: str, kind: str = "images") -> DatasetView:
        """Make an empty data set."""
        body = NewDataset.model_validate({"name": name, "kind": kind})
        return self._parsed(self._send("POST", "/datasets", body), DatasetView)

    def datasets(self) -> Iterator[DatasetView]:
        """Every data set of the team, newest first."""
        yield from self._pages("/datasets", DatasetView, {})

    def dataset(self, dataset: str) -> DatasetView:
        """One data set."""
        return self._get(f"/datasets/{dataset}", DatasetView)

    def upload(self, dataset: str, files: Sequence[FormFile]) -> VersionView:
        """Upload files, or one zip, as a new version."""
        body = MultipartBody(files)
        answer = self._request(
            "POST", f"/datasets/{dataset}/uploads", data=body, headers={"Content-Type": body.content_type}, timeout=None
        )
        return self._parsed(answer, VersionView)

    def add_files(self, dataset: str, base: str, files: Sequence[FormFile]) -> VersionView:
        """A new version with the files and captions of version ``base`` and these besides; what is there is not sent again."""
        place = f"/datasets/{dataset}/drafts"
        draft = self._parsed(self._request("POST", place, params={"base": base}), Draft).draft
        try:
            body = MultipartBody(files)
            self._request("POST", f"{place}/{draft}/uploads", data=body, headers={"Content-Type": body.content_type}, timeout=None)
            return self._parsed(self._request("POST", f"{place}/{draft}/finish", timeout=None), VersionView)
        except BaseException:
            with suppress(LorafleetError):
                self._send("DELETE", f"{place}/{draft}")
            raise

    def remove_file(self, dataset: str, version: str, name: str) -> VersionView:
        """A new version without one file of ``version``."""
        return self._parsed(
            self._send("DELETE", f"/datasets/{dataset}/versions/{version}/files/{quote(name, safe='')}"), VersionView
        )

    def version(self, dataset: str, version: str) -> VersionView:
        """A version with its files and what the checks found."""
        return self._get(f"/datasets/{dataset}/versions/{version}", VersionView)

    def estimate(self, job: NewJob) -> Estimate:
        """What a job would take."""
        return self._parsed(self._send("POST", "/estimate", job, again=True), Estimate)

    def submit(self, job: NewJob, key: str | None = None) -> JobView:
        """Submit a job; sent again under the same key (by default one of its own) until the console has said what became of it."""
        return self._parsed(self._send("POST", "/jobs", job, key=key or uuid.uuid4().hex), JobView)

    def jobs(self, states: Sequence[JobState] = (), dataset: str | None = None) -> Iterator[JobRow]:
        """The team's jobs, newest first."""
        query: dict[str, Any] = {"state": [state.value for state in states]}
        yield from self._pages("/jobs", JobRow, query | ({"dataset": dataset} if dataset else {}))

    def job(self, job: str) -> JobView:
        """One job."""
        return self._get(f"/jobs/{job}", JobView)

    def attempts(self, job: str) -> list[AttemptView]:
        """Its leases."""
        return self._get(f"/jobs/{job}/attempts", list[AttemptView])

    def checkpoints(self, job: str) -> list[CheckpointView]:
        """What it has published."""
        return self._get(f"/jobs/{job}/checkpoints", list[CheckpointView])

    def log(self, job: str, last: int = 1000) -> LogView:
        """The end of its log."""
        return self._get(f"/jobs/{job}/log", LogView, {"last": last})

    def cancel(self, job: str) -> JobView:
        """Stop it for good."""
        return self._parsed(self._send("POST", f"/jobs/{job}/cancel", again=True), JobView)

    def save(self, job: str) -> JobView:
        """Have it write a checkpoint and go on."""
        return self._parsed(self._send("POST", f"/jobs/{job}/save", again=True), JobView)

    def finish(self, job: str) -> JobView:
        """Stop it now and keep its weights."""
        return self._parsed(self._send("POST", f"/jobs/{job}/finish", again=True), JobView)

    def retry(self, job: str, key: str | None = None) -> JobView:
        """Submit it once more as a new job."""
        return self._parsed(self._send("POST", f"/jobs/{job}/retry", key=key or uuid.uuid4().hex), JobView)

    def continue_job(self, job: str, changes: Continuation, key: str | None = None) -> JobView:
        """Submit a new job that goes on from one of its checkpoints."""
        return self._parsed(self._send("POST", f"/jobs/{job}/continue", changes, key=key or uuid.uuid4().hex), JobView)

    def use_as_probe(self, job: str) -> None:
        """Have candidate releases repeat a job that ended well, where people's jobs are too few to judge them by."""
        self._send("PUT", "/probe", ProbeJob(job=job), again=True)

    def quota(self, team: str) -> QuotaView:
        """How many jobs of a team may run at once; for administrators of the fleet, as :meth:`set_quota`."""
        return self._get(f"/quotas/{quote(team, safe='')}", QuotaView)

    def set_quota(self, team: str, quota: NewQuota) -> QuotaView:
        """Limit how many jobs of a team run at once."""
        return self._parsed(self._send("PUT", f"/quotas/{quote(team, safe='')}", quota, again=True), QuotaView)

    def secrets(self) -> list[SecretView]:
        """The team's secrets, without their values."""
        return self._get("/secrets", list[SecretView])

    def set_secret(self, name: str, secret: NewSecret) -> SecretView:
        """Keep a secret for the team's training processes; it takes the old one's place."""
        return self._parsed(self._send("PUT", f"/secrets/{quote(name, safe='')}", secret, again=True), SecretView)

    def remove_secret(self, name: str) -> None:
        """Forget a secret."""
        self._send("DELETE", f"/secrets/{quote(name, safe='')}")

    def events(self, job: str, after: int = 0) -> list[EventView]:
        """What happened after an event's number."""
        return self._get(f"/jobs/{job}/events", list[EventView], {"after": after})

    def watch(self, job: str, after: int = 0) -> Iterator[EventView]:
        """What happens, as it happens, until the job is over; a stream that breaks is taken up again where it broke."""
        failures = 0
        while True:
            try:
                for event in self._stream(job, after):
                    if event.kind == "end":
                        return
                    failures = 0
                    after = max(after, event.id or 0)
                    yield EventView.model_validate_json(event.data)
            except ConsoleUnreachable:
                failures += 1
                if failures >= _TRIES:
                    raise
            self._sleep(_FIRST_PAUSE_SECONDS * 2**failures)

    def download(self, job: str, name: str, target: Path) -> int:
        """Fetch a finished file; it appears whole or not at all. Gives its size in bytes.

        Raises:
            StorageError: the file cannot be written, or is not what the console announced.
        """
        from lorafleet.client.download import save_as

        with self._request("GET", f"/jobs/{job}/outputs/{quote(name)}", again=True, stream=True) as answer:
            return save_as(answer, target)

    def _stream(self, job: str, after: int) -> Iterator[ServerEvent]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._request("GET", f"/jobs/{job}/events", headers=headers, stream=True) as answer:
            try:
                yield from read_events(answer.iter_lines(chunk_size=None))
            except requests.RequestException as error:
                raise unreachable(error, self._address.url) from None

    def _pages(self, path: str, row: type[Model], query: Mapping[str, Any]) -> Iterator[Model]:
        after: str | None = None
        while True:
            page = self._get(path, PageOf[row], {**query, **({"after": after} if after else {})})  # type: ignore[valid-type]
            yield from page.rows
            after = page.after
            if after is None:
                return

    def _get(self, path: str, model: type[Model], query: Mapping[str, Any] | None = None) -> Model:
        return self._parsed(self._request("GET", path, again=True, params=query), model)

    def _send(
        self, method: str, path: str, body: BaseModel | None = None, *, key: str | None = None, again: bool = False
    ) -> requests.Response:
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        data = body.model_dump_json() if body is not None else None
        return self._request(method, path, again=again or key is not None, data=data, headers=headers)

    def _request(self, method: str, path: str, *, again: bool = False, **options: Any) -> requests.Response:
        options.setdefault("timeout", (_CONNECT_SECONDS, _ANSWER_SECONDS))
        pause = _FIRST_PAUSE_SECONDS
        for left in reversed(range(_TRIES if again else 1)):
            try:
                answer = self._session.request(method, f"{self._address.url}{API}{path}", allow_redirects=False, **options)
                raise_for_problem(answer)
            except requests.RequestException as error:
                trouble = unreachable(error, self._address.url)
            except ConsoleUnreachable as error:
                trouble = error
            else:
                return answer
            if left:
                self._sleep(pause)
                pause *= 2
        raise trouble

    def _parsed(self, answer: requests.Response, model: type[Model]) -> Model:
        try:
            return TypeAdapter(model).validate_json(answer.content)
        except ValidationError:
            raise UnexpectedAnswer(
                "the console's answer is of another version", where=self._address.url, hint="use a client of its version"
            ) from None
