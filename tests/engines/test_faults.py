"""The table of faults: each ends as it was written down before. Trials that break nothing of each other's run side by side."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from tests.engines.delivery.console import Console
from tests.engines.delivery.faults import FAULTS, Fault
from tests.engines.delivery.real_console import RealConsole
from tests.engines.delivery.trial import Ended, Trial
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.orca.engine import OrcaEngine
from tests.engines.pki import Authority

pytestmark = [pytest.mark.timeout(1800)]

AT_ONCE = int(os.environ.get("LORAFLEET_TRIALS_AT_ONCE", "6"))


@pytest.fixture(scope="module")
def console(authority: Authority, sites: Mapping[str, Cluster], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    console = RealConsole(authority, tmp_path_factory.mktemp("console"), sites)
    yield console
    console.close()


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, orca: OrcaEngine, console: Console, sites: Mapping[str, Cluster]
) -> Iterator[Mapping[str, Future[Ended]]]:
    """The trials of the tests that are selected: side by side first, then one after the other."""
    names = {item.name for item in request.session.items}
    chosen = [fault for fault in FAULTS if f"test_fault[{fault.name}]" in names]
    for cluster in sites.values():
        for number in range(4):
            cluster.add_gpu_node(f"{cluster.name}-trial-{number}")

    def run(fault: Fault, after: list[Future[Ended]]) -> Ended:
        wait(after)
        return Trial(fault, orca, console, sites).run()

    with ThreadPoolExecutor(AT_ONCE) as pool, ThreadPoolExecutor(1) as single:
        together = {fault.name: pool.submit(run, fault, []) for fault in chosen if not fault.alone}
        alone = {fault.name: single.submit(run, fault, list(together.values())) for fault in chosen if fault.alone}
        found = {**together, **alone}
        yield found
    _print_table(request, chosen, found)


def _print_table(request: pytest.FixtureRequest, chosen: Sequence[Fault], trials: Mapping[str, Future[Ended]]) -> None:
    row = "{:<30} {:<12} {:<12} {:<10} {:>10} {:>10}"
    lines = ["", row.format("fault", "release", "console", "rollback", "share 0", "pods gone")]
    for fault in chosen:
        future = trials[fault.name]
        if future.exception() is not None:
            lines.append(f"{fault.name:<30} did not end")
            continue
        ended = future.result()
        rollback = ended.rollback["status"] if ended.rollback else "-"
        clocks = (_seconds(ended.clocks.share_zero), _seconds(ended.clocks.pods_gone))
        lines.append(row.format(fault.name, ended.release["status"], ended.state, rollback, *clocks))
    lines.append("share 0, pods gone: seconds after the first violating sample, or after the take-back where there was none")
    # A fixture's own output is captured, and shown only where its test fails.
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("\n".join(lines))


def _seconds(clock: float | None) -> str:
    return "-" if clock is None else f"{clock:.1f}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault, trials: Mapping[str, Future[Ended]]) -> None:
    ended = trials[fault.name].result()
    expected = fault.expected
    rollback = ended.rollback["status"] if ended.rollback else None
    found = (ended.release["status"], ended.state, ended.workers, rollback)
    assert found == (expected.pipeline, expected.state, expected.workers, expected.rollback), ended.told()
    assert any(reason in ended.reason for reason in expected.reasons), ended.told()
