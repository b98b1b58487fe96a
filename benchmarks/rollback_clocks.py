"""The clocks of a rollback, over and over: the generated pipelines on a real Orca, two real Kubernetes APIs, and the real console.

Seconds from the first violating sample that the console had, until its share was seen to be 0, the last worker with a lease was told, and
the last pod was gone. The fault's onset, the lease of the first attempt that fares badly, is given as seconds before.

Run it by ``make engines-bench``, which builds the engines, on a machine with nothing else to do.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from tests.engines.conftest import HOSTS, SITES
from tests.engines.delivery.clocks import Clocks, quantiles
from tests.engines.delivery.faults import FAULTS, Fault, Kind
from tests.engines.delivery.real_console import RealConsole
from tests.engines.delivery.trial import Ended, Trial
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.orca.engine import OrcaEngine
from tests.engines.pki import Authority

CLOCKS = ("onset", "share_zero", "revoked", "pods_gone")
MEASURED = [fault for fault in FAULTS if fault.kind in (Kind.ERROR_RATE, Kind.LATENCY)]


def run(trials: int, at_once: int) -> dict[str, list[Clocks]]:
    """Every fault that a condition finds, ``trials`` times; a trial that ends otherwise than written down is an error."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lorafleet-clocks-", ignore_cleanup_errors=True)))
        sites = {name: Cluster(name, folder / name) for name in SITES}
        for name, cluster in sites.items():
            stack.callback(cluster.stop)
            cluster.start()
            for number in range(8):
                cluster.add_gpu_node(f"{name}-gpu-{number}")
        authority = Authority("lorafleet benchmark authority")
        orca = OrcaEngine(folder / "orca", {name: cluster.kubeconfig for name, cluster in sites.items()}, HOSTS, authority)
        stack.callback(orca.stop)
        orca.start()
        (folder / "console").mkdir()
        console = RealConsole(authority, folder / "console", sites)
        stack.callback(console.close)
        rows = [replace(fault, name=f"{fault.name} {number}") for number in range(trials) for fault in MEASURED]
        found: dict[str, list[Clocks]] = {fault.name: [] for fault in MEASURED}

        def one(row: Fault) -> tuple[Fault, Ended]:
            return row, Trial(row, orca, console, sites, held=True).run()

        with ThreadPoolExecutor(at_once) as pool:
            for done, (row, ended) in enumerate(pool.map(one, rows), start=1):
                if ended.state != row.expected.state:
                    raise SystemExit(f"{row.name} did not end as expected\n{ended.told()}")
                found[row.name.rpartition(" ")[0]].append(ended.clocks)
                print(f"{done} of {len(rows)}  {row.name}: {_line([ended.clocks])}", file=sys.stderr, flush=True)
        return found


def _line(clocks: Sequence[Clocks]) -> str:
    cells = []
    for name in CLOCKS:
        values = [value for each in clocks if (value := getattr(each, name)) is not None]
        numbers = "-" if not values else " / ".join(f"{quantiles(values)[of]:.2f}" for of in ("p50", "p95", "max"))
        cells.append(f"{name} {numbers}")
    return "   ".join(cells)


def main() -> None:
    """Print a line for each fault and one for all: p50 / p95 / largest of each clock, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5, help="of each fault")
    parser.add_argument("--at-once", type=int, default=2, help="trials side by side")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    # A player that is refused is what a take-back is for.
    logging.getLogger("tests.engines.delivery.players").setLevel(logging.ERROR)
    found = run(wanted.trials, wanted.at_once)
    if wanted.json:
        print(json.dumps({name: [asdict(each) for each in clocks] for name, clocks in found.items()}, indent=2))
        return
    print("seconds from the first violating sample (onset: before it), p50 / p95 / max")
    for name, clocks in found.items():
        print(f"{name:<18} {len(clocks):>3} trials   {_line(clocks)}")
    everything = [each for clocks in found.values() for each in clocks]
    print(f"{'all':<18} {len(everything):>3} trials   {_line(everything)}")


if __name__ == "__main__":
    main()
