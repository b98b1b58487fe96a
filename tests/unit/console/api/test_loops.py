"""The loops against a real console: leases that run out, copies that a store took with it, numbers for Prometheus."""

import asyncio
import shutil
from collections.abc import Callable
from datetime import timedelta

import pytest

from lorafleet.console.loops import forget, repair, restore
from lorafleet.console.objects.errors import StoreError
from lorafleet.console.settings import read_keep_events
from lorafleet.contracts.metrics import CONSOLE
from lorafleet.contracts.problems import UsageError
from tests.unit.console.api.running_console import API, HttpWorker, StartConsole, new_dataset, new_job, soon

MakeWorker = Callable[..., HttpWorker]


def test_a_worker_that_falls_silent_is_unknown_and_then_lost(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console(lease_lifetime=timedelta(seconds=1), grace=timedelta(seconds=2))
    job = new_job(console.admin, new_dataset(console.admin)[0])["id"]
    one = worker(console=console).leased()
    one.heartbeat()
    soon(lambda: console.admin.get(f"{API}/jobs/{job}").json()["unknown_since"] is not None)
    # Not known is not dead: whoever comes back within the grace goes on.
    assert console.admin.get(f"{API}/jobs/{job}").json()["state"] == "running"
    assert one.heartbeat(1).status_code == 200
    assert console.admin.get(f"{API}/jobs/{job}").json()["unknown_since"] is None
    soon(lambda: console.admin.get(f"{API}/jobs/{job}").json()["state"] == "waiting", 20)
    assert one.heartbeat(2).status_code == 409
    text = console.anonymous().get("/metrics").text
    labels = f'site="local",release="{one.release}"'
    assert f"lorafleet_messages_fenced_total{{{labels}}} 1\n" in text
    assert f"lorafleet_heartbeats_total{{{labels}}} 2\n" in text
    assert f"lorafleet_leases_expired_total{{{labels}}} 1\n" in text
    second = worker(console=console, name="two").leased()
    assert (second.job, second.fence) == (job, 2)


def test_a_store_that_has_gone_is_replaced_by_another(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console(sites=("a", "b", "c"))
    stores = console.services.stores
    job = new_job(console.admin, new_dataset(console.admin)[0])["id"]
    one = worker(console=console, site="a").leased()
    one.heartbeat()
    assert one.publish(5, b"at five").status_code == 204
    (row,) = console.admin.get(f"{API}/jobs/{job}/checkpoints").json()
    assert sorted(row["stores"]) == ["a", "b"]
    repair(console.ledger, stores)
    assert console.admin.get(f"{API}/jobs/{job}/checkpoints").json() == [row]
    shutil.rmtree(console.directory / "stores" / "a")
    soon(lambda: "a" not in stores.reachable())
    repair(console.ledger, stores)
    repair(console.ledger, stores)
    (now,) = console.admin.get(f"{API}/jobs/{job}/checkpoints").json()
    assert sorted(now["stores"]) == ["a", "b", "c"]
    (item,) = now["objects"]
    assert (console.directory / "stores" / "c" / item["key"]).read_bytes() == b"at five"
    view = console.admin.get(f"{API}/jobs/{job}").json()
    version = console.admin.get(f"{API}/datasets/{view['dataset']}/versions/{view['version']}").json()
    assert "c" in version["stores"]
    shutil.rmtree(console.directory / "stores" / "b")
    soon(lambda: stores.reachable() == ("c",))
    second = worker(console=console, site="c", name="w-c")
    one.say("/api/v1/worker/outcome", outcome="infrastructure", exit_code=74, step=5)
    second.leased()
    assert second.lease["job"]["resume"]["step"] == 5
    assert {grant["store"] for grant in second.lease["grants"]} == {"c"}


def test_what_vanished_from_a_store_is_brought_back(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console(sites=("a", "b"), loops=False)
    stores = console.services.stores
    new_job(console.admin, new_dataset(console.admin)[0])
    one = worker(console=console, site="a").leased()
    assert one.publish(5, b"at five").status_code == 204
    folder = console.directory / "stores" / "a"
    needed = console.ledger.upkeep.needed()
    kept = {item.key: (folder / item.key).read_bytes() for holding in needed for item in holding.objects}
    assert len(kept) == 5
    restore(console.ledger, stores)
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            shutil.rmtree(path)
    assert "a" in stores.reachable()
    # Nothing seems to be wrong to whoever asks only which stores answer.
    repair(console.ledger, stores)
    assert {len(stores.lacking(holding.objects, "a")) for holding in needed} == {1, 4}
    restore(console.ledger, stores)
    assert {item.key: (folder / item.key).read_bytes() for holding in needed for item in holding.objects} == kept
    # Where no store has it whole there is nothing to copy, and the others are still seen to.
    for name in ("a", "backup"):
        (console.directory / "stores" / name / next(iter(kept))).unlink()
    restore(console.ledger, stores)


@pytest.mark.parametrize("loop", [repair, restore])
def test_what_cannot_be_copied_keeps_nothing_else_from_it(
    start_console: StartConsole, worker: MakeWorker, loop: Callable[..., None]
) -> None:
    console = start_console(sites=("a", "b", "c"), loops=False)
    stores = console.services.stores
    for number in range(2):
        new_job(console.admin, new_dataset(console.admin, f"set {number}")[0])
        assert worker(console=console, site="a", name=f"w{number}").leased().publish(5, b"at five").status_code == 204
    needed = console.ledger.upkeep.needed()
    # The first one's copy in the living store is damaged, so that it cannot be copied anywhere.
    kept = console.directory / "stores" / "b" / needed[0].objects[0].key
    kept.write_bytes(b"x" * kept.stat().st_size)
    if loop is repair:
        shutil.rmtree(console.directory / "stores" / "a")
        soon(lambda: "a" not in stores.reachable())
    else:
        for folder in ("datasets", "jobs"):
            shutil.rmtree(console.directory / "stores" / "a" / folder)
    with pytest.raises(StoreError, match="SHA-256"):
        loop(console.ledger, stores)
    target = "c" if loop is repair else "a"
    for holding in needed[1:]:
        assert stores.lacking(holding.objects, target) == (), holding
    assert stores.lacking(needed[0].objects, target)


def test_old_events_go_by_themselves_and_the_job_stays(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console(keep_events=timedelta(0), loops=False)
    job = new_job(console.admin, new_dataset(console.admin)[0])["id"]
    one = worker(console=console).leased()
    one.heartbeat()
    assert one.succeed().status_code == 204
    assert console.admin.get(f"{API}/jobs/{job}/events").json()
    asyncio.run(forget(console.ledger, timedelta(0)))
    assert console.admin.get(f"{API}/jobs/{job}/events").json() == []
    view = console.admin.get(f"{API}/jobs/{job}").json()
    assert (view["state"], view["forgotten_at"] is None) == ("succeeded", False)
    assert console.admin.get(f"{API}/jobs/{job}/outputs/neon.safetensors").content == b"finished"


@pytest.mark.parametrize(("text", "kept"), [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("forever", None)])
def test_how_long_events_are_kept_is_read_from_the_command(text: str, kept: timedelta | None) -> None:
    assert read_keep_events(text) == kept


def test_no_length_of_time_is_refused() -> None:
    with pytest.raises(UsageError, match="--keep-events"):
        read_keep_events("a month")


def test_metrics_tell_of_jobs_and_attempts(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console()
    dataset, _ = new_dataset(console.admin)
    new_job(console.admin, dataset)
    new_job(console.admin, dataset)
    one = worker(console=console).leased()
    one.heartbeat()
    one.publish(1)
    one.publish(2)
    two = worker(console=console, name="two").leased()
    two.say("/api/v1/worker/outcome", outcome="user", exit_code=65, step=0)
    new_job(console.admin, dataset)
    text = console.anonymous().get("/metrics").text
    assert 'lorafleet_jobs{state="waiting"} 1\n' in text
    assert 'lorafleet_jobs{state="running"} 1\n' in text
    assert 'lorafleet_jobs{state="failed"} 1\n' in text
    labels = f'site="local",release="{one.release}"'
    assert f"lorafleet_leases_total{{{labels}}} 2\n" in text
    assert f"lorafleet_checkpoints_published_total{{{labels}}} 2\n" in text
    assert f'lorafleet_attempts_ended_total{{{labels},outcome="user"}} 1\n' in text
    assert f"lorafleet_workers{{{labels}}} 2\n" in text
    assert "# TYPE desired_workers gauge\n" in text
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(text)}
    # The library's names of counters have no ending.
    assert set(families) == {metric.name.removesuffix("_total") for metric in CONSOLE}
    for metric in CONSOLE:
        for sample in families[metric.name.removesuffix("_total")].samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), metric.name
    assert [sample.value for sample in families["lorafleet_job_waiting_seconds"].samples if sample.labels.get("le") == "+Inf"] == [
        2
    ]
