"""How long a job stands still when its worker, or its whole site, is killed, and how many steps are trained again.

    .venv/bin/python benchmarks/console_failover.py [--trials N] [--quick] [--json]

Two sites on this machine as in the demo: a console on SQLite, for each site a store's process and a worker's, with the demo's
leases. The workers are simulated: their steps pass with the time, so that what is measured is the console and not a training.
SIGKILL strikes at a random moment of a checkpoint interval; the clock runs until another worker's first heartbeat for the job.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "plugin"))
from simulated_worker import Spec, work

from lorafleet.contracts import paths
from lorafleet.demo.services import Service, start
from lorafleet.demo.two_sites import SITES

LEASE_SECONDS, GRACE_SECONDS = 4, 2
STEP_SECONDS, CHECKPOINT_STEPS, STEPS = 0.05, 20, 160
TARGET_SECONDS = 10.0
_LOOK_SECONDS = 0.03
_PATIENCE_SECONDS = 60.0


class Fleet:
    """The console, the stores and the workers."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")
        self._stores: dict[str, Service] = {}
        self._ports: dict[str, str] = {}
        self._workers: dict[str, Any] = {}
        stack.callback(self._end)
        words = ["serve", "--dir", str(folder / "console"), "--port", "0", "--ready-file", str(folder / "ready.json")]
        words += ["--lease-seconds", str(LEASE_SECONDS), "--grace-seconds", str(GRACE_SECONDS)]
        for site in SITES:
            self.start_store(site)
            words += ["--site", f"{site}=http://127.0.0.1:{self._ports[site]}", "--store-secret", f"{site}={folder / site}.secret"]
        console = start("console", folder / "logs", words)
        stack.callback(console.end)
        self._ready = console.wait_for(lambda: _json(folder / "ready.json"), _PATIENCE_SECONDS)
        token = Path(self._ready["token_file"]).read_text(encoding="ascii").strip()
        self._http = stack.enter_context(httpx.Client(base_url=self._ready["url"], headers={"Authorization": f"Bearer {token}"}))
        for site in SITES:
            self.start_worker(site)
        self._dataset = self._upload()

    def start_store(self, site: str) -> None:
        """Start a site's store, at the port it had."""
        words = ["store", str(self._folder / site), "--port", self._ports.get(site, "0")]
        store = self._stores[site] = start(f"{site}-store", self._folder / "logs", words)
        address = store.wait_for(lambda: next(iter(store.log.read_text().splitlines()), None), _PATIENCE_SECONDS)
        self._ports[site] = address.rpartition(":")[2]

    def start_worker(self, site: str) -> None:
        """Start a site's worker."""
        credential = Path(self._ready["credential_files"][site]).read_text(encoding="ascii").strip()
        spec = Spec(
            self._ready["url"], site, f"{site}-worker", self._ready["release"], credential, STEP_SECONDS, CHECKPOINT_STEPS,
            journal=self._folder / f"{site}.steps",
        )  # fmt: skip
        self._workers[site] = self._context.Process(target=work, args=(spec,), daemon=True)
        self._workers[site].start()

    def trial(self, whole_site: bool) -> tuple[float, int]:
        """Seconds from SIGKILL to the first heartbeat elsewhere, and the steps that have to be trained again."""
        body = {"name": "bench", "dataset": self._dataset, "training": {"base_model": "simulated", "max_steps": STEPS}}
        job = self._http.post(f"{paths.API}/jobs", json=body).raise_for_status().json()["id"]
        _until(lambda: bool(self._get(f"jobs/{job}")["published_step"]))
        time.sleep(random.uniform(0, CHECKPOINT_STEPS * STEP_SECONDS))
        site = self._get(f"jobs/{job}/attempts")[0]["site"]
        killed_at = time.monotonic()
        self._kill_worker(site)
        if whole_site:
            self._stores[site].kill()
        reached = int((self._folder / f"{site}.steps").read_text())
        _until(lambda: any(row["fence"] > 1 and row["first_heartbeat_at"] for row in self._get(f"jobs/{job}/attempts")))
        seconds = time.monotonic() - killed_at
        resumed = max(self._get(f"jobs/{job}/attempts"), key=lambda row: int(row["fence"]))["start_step"]
        if whole_site:
            self.start_store(site)
        self.start_worker(site)
        _until(lambda: self._get(f"jobs/{job}")["state"] == "succeeded")
        return seconds, reached - resumed

    def _upload(self) -> str:
        made = self._http.post(f"{paths.API}/datasets", json={"name": "bench", "kind": "texts"}).raise_for_status().json()
        files = [("files", ("a.jsonl", b'{"text": "neon"}\n{"text": "rain"}\n'))]
        self._http.post(f"{paths.API}/datasets/{made['id']}/uploads", files=files).raise_for_status()
        return str(made["id"])

    def _get(self, path: str) -> Any:
        return self._http.get(f"{paths.API}/{path}").raise_for_status().json()

    def _kill_worker(self, site: str) -> None:
        worker = self._workers.pop(site)
        worker.kill()
        worker.join()

    def _end(self) -> None:
        for site in tuple(self._workers):
            self._kill_worker(site)
        for store in self._stores.values():
            store.kill()


@contextmanager
def running() -> Iterator[Fleet]:
    """A fleet that has two ready workers."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Fleet(Path(folder), stack)


def measure(trials: int) -> dict[str, Any]:
    """Both faults, ``trials`` times each."""
    found: dict[str, Any] = {}
    with running() as fleet:
        fleet.trial(whole_site=False)
        for name, whole_site in (("worker killed", False), ("site killed", True)):
            results = [fleet.trial(whole_site) for _ in range(trials)]
            seconds, steps = sorted(each for each, _ in results), [lost for _, lost in results]
            found[name] = {
                "seconds_p50": statistics.median(seconds),
                "seconds_p95": seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))],
                "seconds_max": seconds[-1],
                "lost_steps_median": statistics.median(steps),
                "lost_steps_max": max(steps),
            }
    return found


def _json(path: Path) -> Any:
    with suppress(ValueError, FileNotFoundError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def _until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not what():
        if time.monotonic() > end:
            raise SystemExit("the job does not go on")
        time.sleep(_LOOK_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, help="of each fault")
    parser.add_argument("--quick", action="store_true", help="three of each")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    trials = 3 if options.quick else options.trials
    found = measure(trials)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    if options.json:
        print(json.dumps({"machine": machine, "python": platform.python_version(), "trials": trials, **found}))
        return
    print(f"{machine}, Python {platform.python_version()}; {trials} trials of each")
    print(
        f"leases {LEASE_SECONDS} s + {GRACE_SECONDS} s, a checkpoint each {CHECKPOINT_STEPS} steps; target <= {TARGET_SECONDS:g} s"
    )
    for name, values in found.items():
        print(
            f"{name:14} elsewhere after {values['seconds_p50']:.2f} s p50, {values['seconds_p95']:.2f} s p95,"
            f" {values['seconds_max']:.2f} s max; {values['lost_steps_median']:g} steps lost in the median,"
            f" {values['lost_steps_max']} at most"
        )


if __name__ == "__main__":
    main()
