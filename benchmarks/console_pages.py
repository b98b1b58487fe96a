"""How fast the pages are: first paint in a real Chromium, and the list of jobs over HTTP with 100,000 of them stored.

    .venv/bin/python benchmarks/console_pages.py [--quick] [--json]

A console of its own on SQLite, as ``lorafleet serve`` starts it. The browser's cache is empty at each visit; the list is read by a client
that keeps its connection, page after page.
"""

import argparse
import io
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
from PIL import Image
from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).parents[1]))
from lorafleet.console.store import schema
from lorafleet.console.store.ledger import open_ledger
from lorafleet.contracts import paths
from tests.browser.chromium import installed, launched

STORED = 100_000
PICTURES = 24
IMAGE = "sha256:" + "5" * 64
TARGETS = {"first paint, ms": "< 1000", "list, ms p99": "< 50", "list, kB": "< 200"}
_PATIENCE_SECONDS = 60.0
_FIRST_PAINT = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  const found = list.getEntriesByName("first-contentful-paint")[0];
  if (found) resolve(found.startTime);
}).observe({ type: "paint", buffered: true }))"""
# Under the console's limit of requests a second.
_PAUSE_SECONDS = 0.02


class Console:
    """A running ``lorafleet serve`` below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        words = ["serve", "--dir", str(folder), "--port", "0", "--ready-file", str(ready)]
        program = "import sys; from lorafleet.cli import main; sys.exit(main(sys.argv[1:]))"
        self._process = subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.DEVNULL)
        end = time.monotonic() + _PATIENCE_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the console does not start")
            time.sleep(0.05)
        self.url = json.loads(ready.read_text(encoding="utf-8"))["url"]
        self.token = (folder / "token").read_text(encoding="ascii").strip()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=_PATIENCE_SECONDS)

    def stop(self) -> None:
        """End it in order."""
        self.http.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


@contextmanager
def serving(folder: Path) -> Iterator[Console]:
    """A console for the length of the block."""
    console = Console(folder)
    try:
        yield console
    finally:
        console.stop()


def first_things(console: Console) -> tuple[str, str]:
    """A data set of pictures and a job; their ids."""
    dataset = console.http.post(f"{paths.API}/datasets", json={"name": "photographs"}).raise_for_status().json()["id"]
    files = []
    for number in range(PICTURES):
        data = io.BytesIO()
        Image.effect_noise((512, 512), 40 + number).convert("RGB").save(data, "JPEG")
        files.append(("files", (f"{number}.jpg", data.getvalue())))
        files.append(("files", (f"{number}.txt", f"picture {number} in the rain".encode())))
    console.http.post(f"{paths.API}/datasets/{dataset}/uploads", files=files).raise_for_status()
    body = {"name": "neon", "dataset": dataset, "training": {"base_model": "base", "max_steps": 1000}}
    job = console.http.post(f"{paths.API}/jobs", json=body).raise_for_status().json()["id"]
    return str(dataset), str(job)


def fill(folder: Path, job: str, count: int) -> None:
    """So many jobs like that one, nearly all of them over, each with the attempt that trained it."""
    ledger = open_ledger(f"sqlite:///{folder / 'console.sqlite'}")
    with ledger._database.write() as transaction:
        row = dict(transaction.row(schema.jobs.select().where(schema.jobs.c.id == job)))
        del row["number"]
        for start in range(0, count, 5000):
            jobs, attempts = [], []
            for number in range(start, min(start + 5000, count)):
                at = transaction.now - timedelta(seconds=count - number)
                over = {
                    "state": "succeeded",
                    "ended_at": at,
                    "step": 1000,
                    "total_steps": 1000,
                    "fence": 1,
                    "attempts": 1,
                    "loss": 0.1,
                }
                jobs.append({**row, "id": f"job-{number}", "name": f"neon {number}", "submitted_at": at, **over})
                attempts.append(
                    {
                        "job": f"job-{number}", "fence": 1, "site": "local", "worker": "w", "digest": IMAGE, "track": "stable",
                        "state": "succeeded", "leased_at": at, "deadline": at, "first_heartbeat_at": at, "ended_at": at, "phase": "saving",
                        "step": 1000, "start_step": 0, "outcome": "succeeded", "ordered": "continue", "heartbeats": 200,
                    }
                )  # fmt: skip
            transaction.execute(insert(schema.jobs), jobs)
            transaction.execute(insert(schema.attempts), attempts)
    ledger.close()


def asked(console: Console, path: str, times: int, paged: bool = True) -> dict[str, float]:
    """Milliseconds and bytes of one address, read page after page."""
    taken, sizes, after = [], [], None
    for _ in range(times):
        query: dict[str, str] = {"after": after} if after and paged else {}
        start = time.perf_counter()
        answer = console.http.get(path, params=query, headers={"Accept": "*/*" if path.startswith(paths.API) else "text/html"})
        taken.append((time.perf_counter() - start) * 1000)
        sizes.append(len(answer.raise_for_status().content))
        if paged and path.startswith(paths.API):
            after = answer.json()["after"]
        elif paged:
            after = str(random.randrange(1000, STORED))
        time.sleep(_PAUSE_SECONDS)
    taken.sort()
    return {"ms p50": statistics.median(taken), "ms p99": taken[int(0.99 * (len(taken) - 1))], "kB": max(sizes) / 1000}


def paints(console: Console, pages: Mapping[str, str], visits: int) -> dict[str, dict[str, float]]:
    """First contentful paint of each page, in a browser that has nothing of it yet."""
    path = installed()
    if path is None:
        return {}
    found = {}
    with launched(path) as browser:
        for name, address in pages.items():
            taken = []
            for _ in range(visits + 1):
                context = browser.new_context()
                context.add_cookies([{"name": "lorafleet", "value": console.token, "url": console.url}])
                page = context.new_page()
                page.goto(console.url + address)
                taken.append(float(page.evaluate(_FIRST_PAINT)))
                context.close()
            # The first visit also warms the console's own templates.
            taken = sorted(taken[1:])
            found[name] = {"first paint, ms p50": statistics.median(taken), "first paint, ms max": taken[-1]}
    return found


def measure(stored: int, times: int, visits: int) -> dict[str, dict[str, float]]:
    """Everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder) as console:
            dataset, job = first_things(console)
        fill(folder, job, stored)
        with serving(folder) as console:
            pages = {
                "home": "/", "data sets": "/datasets", "data set": f"/datasets/{dataset}", "new job": f"/jobs/new?dataset={dataset}",
                "jobs": "/jobs", "job": f"/jobs/{job}", "queue": "/queue", "fleet": "/fleet", "secrets": "/secrets", "audit": "/audit",
            }  # fmt: skip
            found = {
                f"page of jobs out of {stored}, API": asked(console, f"{paths.API}/jobs", times),
                f"page of jobs out of {stored}, HTML": asked(console, "/jobs", times),
                f"/metrics with {stored} attempts": asked(console, "/metrics", max(5, times // 20), paged=False),
            }
            return {**found, **paints(console, pages, visits)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer jobs, requests and visits")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    stored, times, visits = (5_000, 60, 2) if options.quick else (STORED, 400, 10)
    found = measure(stored, times, visits)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    if options.json:
        print(json.dumps({"machine": machine, "python": platform.python_version(), "stored": stored, **found}))
        return
    print(
        f"{machine}, Python {platform.python_version()}; targets: {', '.join(f'{name} {limit}' for name, limit in TARGETS.items())}"
    )
    for name, values in found.items():
        print(
            f"{name:42} "
            + ", ".join(f"{value:.0f} {what}" if value >= 10 else f"{value:.1f} {what}" for what, value in values.items())
        )


if __name__ == "__main__":
    main()
