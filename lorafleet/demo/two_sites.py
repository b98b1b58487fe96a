"""Two sites on one machine: a console, and for each site a store and a worker. One site is killed whole while it trains."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from lorafleet.client.address import Address
from lorafleet.client.client import Client
from lorafleet.client.collect import collect
from lorafleet.contracts.console_api import EventView, NewJob
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.problems import UnavailableError
from lorafleet.demo.services import Service, start

SITES = ("aws-eu-central-1", "gcp-us-west1")
"""Named as two clouds; here each is a folder served by a process, and a worker process."""

_READY_SECONDS = 120.0
_TOLD = ("leased", "started", "checkpoint", "lost", "finished")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """A site's processes."""

    name: str
    store: Service
    worker: Service

    def kill(self) -> None:
        """The site is gone: its worker and its store."""
        self.worker.kill()
        self.store.kill()


@dataclass(frozen=True)
class Fleet:
    """A console with its sites; ``page`` is its address with the token that opens it once."""

    client: Client
    page: str
    sites: Mapping[str, Site]


@dataclass(frozen=True)
class Outcome:
    """How the job went: what was killed at which step, where it went on and from which step, and after how many seconds."""

    killed: str
    killed_at_step: int
    taken_over_by: str
    resumed_from_step: int
    seconds_until_training: float
    weights: Path


@contextmanager
def fleet(folder: Path, models: Path) -> Iterator[Fleet]:
    """Start everything below ``folder``; ends it again. ``models`` holds the base models, as a site's shared volume does.

    Raises:
        UnavailableError: a process does not come up.
    """
    with ExitStack() as stack:

        def run(name: str, words: list[str]) -> Service:
            service = start(name, folder / "logs", words)
            stack.callback(service.end)
            return service

        stores = {site: run(f"{site}-store", ["store", str(folder / site / "store"), "--port", "0"]) for site in SITES}
        words = ["serve", "--dir", str(folder / "console"), "--port", "0", "--ready-file", str(folder / "ready.json")]
        # Seconds instead of minutes, so that the walk is short.
        words += ["--lease-seconds", "4", "--grace-seconds", "2"]
        for site, store in stores.items():
            words += ["--site", f"{site}={store.wait_for(_address(store), _READY_SECONDS)}"]
            words += ["--store-secret", f"{site}={folder / site / 'store.secret'}"]
        console = run("console", words)
        ready = console.wait_for(lambda: _json(folder / "ready.json"), _READY_SECONDS)
        workers = {
            site: run(
                f"{site}-worker",
                [
                    "worker", "--console", ready["url"], "--site", site, "--release", ready["release"],
                    "--credential-file", ready["credential_files"][site], "--models", str(models),
                    "--work", str(folder / site / "work"), "--device", "cpu",
                ],
            )
            for site in SITES
        }  # fmt: skip
        token = Path(ready["token_file"]).read_text(encoding="ascii").strip()
        client = stack.enter_context(Client(Address(ready["url"], SecretStr(token))))
        yield Fleet(client, ready["page"], {site: Site(site, stores[site], workers[site]) for site in SITES})


def lose_a_site(running: Fleet, photographs: Path, training: Mapping[str, Any], target: Path, say: Say) -> Outcome:
    """Submit a job, kill the site that trains it once two stores hold a checkpoint, and follow the job to its end elsewhere.

    Raises:
        UnavailableError: the job did not end well.
    """
    client = running.client
    dataset = client.create_dataset("photographs")
    version = client.upload(dataset.id, collect([photographs]))
    job = client.submit(NewJob(name="photographs", dataset=dataset.id, version=version.version, training=dict(training)))
    say(f"job {job.id} is accepted: from here on nothing that dies may lose it")
    since = time.monotonic()
    site, killed, killed_step, killed_at, resumed, took_over = "", "", 0, 0.0, 0, 0.0
    for event in client.watch(job.id):
        if event.kind in _TOLD:
            say(f"{time.monotonic() - since:6.1f} s  {_words(event, site)}")
        if event.kind == "leased":
            site = str(event.values["site"])
            resumed = int(event.values["step"])
        if killed and event.kind == "started" and not took_over:
            took_over = time.monotonic() - killed_at
        if event.kind == "checkpoint" and not killed:
            killed, killed_step, killed_at = site, int(event.values["step"]), time.monotonic()
            running.sites[site].kill()
            say(f"{killed_at - since:6.1f} s  {site} is gone: SIGKILL to its worker and its store")
    done = client.job(job.id)
    if done.state is not JobState.SUCCEEDED or not killed:
        reasons = "; ".join(problem.what for problem in done.problems) or "no checkpoint was published in time"
        raise UnavailableError(f"the job is {done.state}: {reasons}", hint="see the logs in the demo's folder")
    name = next(item.name for item in done.outputs if item.name.endswith(".safetensors"))
    client.download(job.id, name, target / name)
    return Outcome(killed, killed_step, site, resumed, took_over, target / name)


def _address(store: Service) -> Callable[[], str | None]:
    def look() -> str | None:
        text = store.log.read_text(errors="replace")
        return text.splitlines()[0].strip() if text.startswith("http") and text.endswith("\n") else None

    return look


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _words(event: EventView, site: str) -> str:
    values = event.values
    if event.kind == "leased":
        begin = f"goes on from step {values['step']}" if values["step"] else "begins"
        return f"{values['site']} {begin} (fence {event.fence})"
    if event.kind == "started":
        return f"{site} trains"
    if event.kind == "checkpoint":
        return f"step {values['step']} is published, in {' and '.join(values['stores'])}"
    if event.kind == "lost":
        return f"{site} has not been heard of: its lease is over"
    return f"the job has {values.get('state', 'ended')}"
