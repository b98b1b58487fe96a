"""From source to a released image on this machine: the commands of a real release, with real registries and the real Orca engine.

``make release-local``. What stands in: the base (Debian's smallest system for NVIDIA's), Gate (its
contract, in front of the real Orca), the nodes (kwok's) and with them the workers. LORAFLEET_BASE_IMAGE names another base.
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.engines.delivery import fleet
from tests.engines.delivery.real_console import HOST, RealConsole
from tests.engines.docker_registry import DockerRegistry
from tests.engines.image.bases import certificates, environment, local_base
from tests.engines.image.orca_gate import OrcaGate
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.orca.engine import OrcaEngine
from tests.engines.pki import Authority

APPLICATION = "lora-training-platform"
SITES = ("aws-eu-central-1", "gcp-us-west1")


class Failed(Exception):
    """A step ended otherwise than it should."""


@dataclass(frozen=True)
class Steps:
    """Runs the steps as a person would type them, and shows them. ``lorafleet`` is this checkout's."""

    environment: Mapping[str, str]

    def say(self, what: str) -> None:
        print(f"\n== {what}", flush=True)

    def run(self, *words: str) -> str:
        """Run a ``lorafleet`` command to its good end, and give what it printed."""
        print(f"$ lorafleet {shlex.join(words)}", flush=True)
        begun = time.monotonic()
        command = [sys.executable, "-m", "lorafleet", *words]
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                print(f"  {line}", end="", flush=True)
                said.append(line)
        print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
        if process.returncode != 0:
            raise Failed(f"lorafleet {words[0]} {words[1]} ended with code {process.returncode}")
        return "".join(said)


@dataclass(frozen=True)
class Engines:
    """Two clusters, and an Orca with an account for each. Its webhooks trust ``authority``."""

    sites: Mapping[str, Cluster]
    orca: OrcaEngine
    authority: Authority


def main(arguments: Sequence[str]) -> int:
    """Run it all; 0 where the pipeline succeeded. The word ``console`` takes the small image in place of the trainer's."""
    with tempfile.TemporaryDirectory(prefix="lorafleet-release-") as name:
        folder = Path(name)
        try:
            release(folder, arguments[0] if arguments else "trainer", lambda: own_engines(folder))
        except Failed as failed:
            print(f"error: {failed}", file=sys.stderr)
            return 1
    return 0


def release(folder: Path, target: str, engines: Callable[[], AbstractContextManager[Engines]]) -> None:
    """Every step from source to the end of the pipeline. ``engines`` are started once the image is everywhere.

    Raises:
        Failed: a step did not end well.
    """
    steps = Steps({**environment(folder), "COSIGN_PASSWORD": secrets.token_urlsafe(24), "TMPDIR": str(folder)})
    key = folder / "cosign.pub"
    with ExitStack() as running:
        registries = {site: DockerRegistry(folder, site) for site in SITES}
        for registry in registries.values():
            running.callback(registry.stop)
        places = [f"{registry.host}/fleet" for registry in registries.values()]
        image = build_and_prove(steps, folder, target, places)

        steps.say("5. Two clusters, the console and Spinnaker's Orca (this takes a minute)")
        found = running.enter_context(engines())
        for cluster in found.sites.values():
            for number in range(2):
                cluster.add_gpu_node(f"{cluster.name}-release-{number}")
            fleet.furnish(cluster, APPLICATION, APPLICATION)
        (folder / "fleet").mkdir()
        addresses = dict(zip(SITES, places, strict=True))
        console = RealConsole(found.authority, folder / "fleet", found.sites, addresses, key, namespace=APPLICATION)
        running.callback(console.close)
        gate = running.enter_context(OrcaGate(found.orca))
        told = {"LORAFLEET_GATE_URL": gate.url, "LORAFLEET_TOKEN_FILE": str(console.directory / "token")}
        typed = Steps({**steps.environment, **told, "LORAFLEET_WEBHOOK_SECRET": secrets.token_hex(16)})

        typed.say("6. Save the pipelines in Gate, then release, and watch")
        spec, sites = str(write_spec(folder, console, image.partition("@")[0])), str(console.facts)
        typed.run("release", "push", spec, "--sites", sites)
        where = ("--spec", spec, "--sites", sites, "--console", console.plain)
        typed.run("image", "release", image, "--key", str(key), *where)
    print(f"\nreleased {image}", flush=True)


def build_and_prove(steps: Steps, folder: Path, target: str, places: Sequence[str]) -> str:
    """The image by its digest: built, listed, signed, copied to all ``places`` and verified there."""
    steps.say("1. Do the locked versions fit each other?")
    steps.run("image", "compat")

    steps.say("2. Build the image and push it to the home registry")
    base = os.environ.get("LORAFLEET_BASE_IMAGE") or local_base()
    home = f"{places[0]}/lora-trainer"
    built = steps.run("image", "build", "--target", target, "--base", base, "--push", home, *certificates(), "--json")
    digest = json.loads(built)["digest"]

    steps.say("3. List what is in it, and sign it")
    steps.run("image", "keygen", "--dir", str(folder))
    steps.run("image", "sbom", f"{home}@{digest}", "--lock", f"requirements/{target}.txt")
    steps.run("image", "sign", f"{home}@{digest}", "--key", str(folder / "cosign.key"))

    steps.say("4. Copy it by its digest to every site, with signature and SBOM, and verify it there")
    steps.run("image", "mirror", f"{home}@{digest}", *(word for place in places[1:] for word in ("--to", place)))
    for place in places:
        steps.run("image", "verify", f"{place}/lora-trainer@{digest}", "--key", str(folder / "cosign.pub"), "--require-sbom")
    return f"{home}@{digest}"


def write_spec(folder: Path, console: RealConsole, image: str) -> Path:
    """fleet.yaml, with short watches."""
    spec = fleet.spec(APPLICATION, console.url, image=image, gate={"url": "https://gate.lorafleet.test"})
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    return path


@contextmanager
def own_engines(folder: Path) -> Iterator[Engines]:
    """Engines for this one release."""
    authority = Authority("lorafleet test authority")
    sites = {name: Cluster(name, folder / "clusters" / name) for name in SITES}
    with ExitStack() as running:
        for cluster in sites.values():
            running.callback(cluster.stop)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cluster.start, sites.values()))
        accounts = {name: cluster.kubeconfig for name, cluster in sites.items()}
        orca = OrcaEngine(folder / "orca", accounts, (HOST,), authority)
        running.callback(orca.stop)
        yield Engines(sites, orca.start(), authority)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
