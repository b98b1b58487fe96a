"""How much the console's store takes: leases and events a second, and a page out of 100,000 jobs.

    .venv/bin/python benchmarks/console_store.py [--quick]

SQLite is a file with what state needs to survive a power cut; PostgreSQL a server of its own with its durable defaults.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "plugin"))
from postgres_server import MISSING, PostgresServer, find_binaries

from lorafleet.console.domain.records import SiteRecord, Submission
from lorafleet.console.store import schema
from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.contracts.jobs import LeaseRequest, Progress, PublishedObject

IMAGE = "sha256:" + "5" * 64
LIFETIME = timedelta(hours=1)
STORED = 100_000
PROCESSES = 4
LEASES_AT_ONCE = 20
EVENTS_AT_ONCE = 32
TARGETS = {
    "sqlite: leases/s, one at a time": "",
    "sqlite: leases/s, 20 at a time": ">= 500",
    "sqlite: events/s, 32 at a time": ">= 3000",
    "postgresql: leases/s, 4 processes, 20 at a time": ">= 3000",
    "postgresql: events/s, 4 processes, 32 at a time": "",
    "sqlite: page of 50 out of 100000 jobs, ms p50": "",
    "sqlite: page of 50 out of 100000 jobs, ms p99": "< 50",
    "postgresql: page of 50 out of 100000 jobs, ms p50": "",
    "postgresql: page of 50 out of 100000 jobs, ms p99": "< 50",
}


def fill(ledger: SqlLedger, waiting: int, team: str) -> None:
    """One site with a stable release, and so many waiting jobs."""
    ledger.dispatcher.put_site(SiteRecord("site", "local", "here", "store"))
    ledger.releases.set_stable("trainer", IMAGE, ["site"])
    made = ledger.datasets.create(team, "set", "images", "bench")
    ledger.datasets.add_version(team, made.id, "v1", [PublishedObject(key="a", size=1, sha256="0" * 64)], 1, {}, ["store"], "bench")
    first = ledger.jobs.submit(team, Submission("job", made.id, "v1", {"base_model": "base", "max_steps": 1000}), "bench")
    with ledger._database.write() as transaction:
        row = dict(transaction.row(schema.jobs.select().where(schema.jobs.c.id == first.id)))
        del row["number"]
        for start in range(0, waiting, 5000):
            rows = [{**row, "id": f"{team}-{number}"} for number in range(start, min(start + 5000, waiting))]
            transaction.execute(insert(schema.jobs), rows)


def leases(ledger: SqlLedger, seconds: float, at_once: int, name: str) -> tuple[int, list[tuple[str, int]]]:
    """Lease for so long; how many, and which."""
    requests = [LeaseRequest(site="site", worker=f"{name}-{each}", release=IMAGE, gpus=()) for each in range(at_once)]
    held: list[tuple[str, int]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        held += [(job.id, fence) for job, fence, _ in filter(None, ledger.dispatcher.lease_many(requests, LIFETIME))]
    return len(held), held


def events(ledger: SqlLedger, seconds: float, held: list[tuple[str, int]]) -> int:
    """Report progress of many attempts for so long; how many reports."""
    now, count = datetime.now(UTC), 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        batch = [held[(count + each) % len(held)] for each in range(EVENTS_AT_ONCE)]
        ledger.dispatcher.progress(
            [
                Progress(
                    job=job, fence=fence, step=count, total_steps=10**6, seconds_left=60, sent_at=now,
                    metrics={"loss": 0.1, "learning_rate": 1e-4, "grad_norm": 0.5, "steps_per_second": 3.0},
                )
                for job, fence in batch
            ]
        )  # fmt: skip
        count += len(batch)
    return count


def page_times(ledger: SqlLedger, team: str, times: int) -> list[float]:
    """Milliseconds of the first page and of pages further on."""
    taken, after = [], None
    for _ in range(times):
        start = time.perf_counter()
        page = ledger.jobs.page(team, after=after)
        taken.append((time.perf_counter() - start) * 1000)
        after = page.after
    return sorted(taken)


def one_of_many(url: str, number: int, seconds: float, start: Any, answers: Any) -> None:
    """One console beside others."""
    ledger = open_ledger(url)
    leases(ledger, 0.2, 1, f"warm{number}")
    start.wait()
    count, held = leases(ledger, seconds, LEASES_AT_ONCE, f"w{number}")
    start.wait()
    reports = events(ledger, seconds, held[:500])
    answers.put((count, reports))
    ledger.close()


def on_sqlite(seconds: float) -> dict[str, float]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{folder}/console.db")
        fill(ledger, STORED, "bench")
        found |= pages("sqlite", ledger)
        leases(ledger, 0.2, 1, "warm")
        count, held = leases(ledger, seconds, 1, "w")
        found["sqlite: leases/s, one at a time"] = count / seconds
        count, more = leases(ledger, seconds, LEASES_AT_ONCE, "w")
        found["sqlite: leases/s, 20 at a time"] = count / seconds
        found["sqlite: events/s, 32 at a time"] = events(ledger, seconds, (held + more)[:500]) / seconds
        ledger.close()
    return found


def on_postgresql(server: PostgresServer, seconds: float) -> dict[str, float]:
    url = server.plain_url(server.create())
    ledger = open_ledger(url)
    fill(ledger, STORED, "bench")
    found = pages("postgresql", ledger)
    ledger.close()
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(PROCESSES), context.Queue()
    running = [context.Process(target=one_of_many, args=(url, number, seconds, start, answers)) for number in range(PROCESSES)]
    for process in running:
        process.start()
    counted = [answers.get(timeout=600) for _ in running]
    for process in running:
        process.join()
    found["postgresql: leases/s, 4 processes, 20 at a time"] = sum(count for count, _ in counted) / seconds
    found["postgresql: events/s, 4 processes, 32 at a time"] = sum(reports for _, reports in counted) / seconds
    return found


def pages(name: str, ledger: SqlLedger) -> dict[str, float]:
    page_times(ledger, "bench", 20)
    taken = page_times(ledger, "bench", 300)
    return {
        f"{name}: page of 50 out of {STORED} jobs, ms p50": statistics.median(taken),
        f"{name}: page of 50 out of {STORED} jobs, ms p99": taken[int(0.99 * len(taken))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second of each instead of five")
    seconds = 1.0 if parser.parse_args().quick else 5.0
    found = on_sqlite(seconds)
    binaries = find_binaries()
    if binaries is None:
        print(MISSING, file=sys.stderr)
    else:
        server = PostgresServer(binaries, ("fsync=on", "synchronous_commit=on", "full_page_writes=on"))
        try:
            found |= on_postgresql(server, seconds)
        finally:
            server.remove()
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
    )
    for name, target in TARGETS.items():
        if name in found:
            print(f"{name:58} {found[name]:10.1f}  {target}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
