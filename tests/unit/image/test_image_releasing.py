"""``lorafleet image release`` as it is typed, against registries, a Gate and a console on loopback."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from loopback_registry import LoopbackRegistry

from lorafleet.cli import main
from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.image import release_command
from lorafleet.image.keys import SigningKey
from lorafleet.image.signing import sign
from lorafleet.registry.repository import Registries
from lorafleet.registry.transport import Patience
from pipelines import delivering, starting
from pipelines.rest import Pace
from tests.contract.registry_suite import push_image
from tests.fake_gate.console import FakeConsole
from tests.fake_gate.gate import FakeGate

ROOT = Path(__file__).parents[3]
SITES = ("aws-eu-central-1", "gcp-us-west1")
APPLICATION = "lora-training-platform"
AT_ONCE = Pace(pause=0.0, longest_pause=0.0, poll=0.0, connect_limit=10.0, read_limit=10.0, write_limit=10.0)

Release = Callable[..., tuple[int, str, list[str]]]


@dataclass
class World:
    """Two sites with a registry each; the image lies, signed, in both."""

    folder: Path
    registries: dict[str, LoopbackRegistry]
    gate: FakeGate
    console: FakeConsole
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    digest: str = ""

    @property
    def spec(self) -> Path:
        return self.folder / "fleet.yaml"

    @property
    def image(self) -> str:
        return f"{self.registries[SITES[0]].host}/fleet/lora-trainer"

    def sign(self, site: str) -> None:
        repository = Registries().repository(ImageReference("fleet/lora-trainer", self.registries[site].host))
        self.digest = push_image(repository).digest
        sign(repository, self.digest, SigningKey("ours", self.private))

    def write(self, **changes: Any) -> None:
        fleet = yaml.safe_load((ROOT / "fleet.yaml").read_text())
        fleet |= {"sites": list(SITES), "image": self.image, "gate": {"url": "https://gate.example.org"}}
        fleet["release"] |= {"quorum": 1, "clusters": [one for one in fleet["release"]["clusters"] if one["site"] in SITES]}
        del fleet["windows"], fleet["approvals"]
        fleet["monitor"] = {"metricsAccount": "prometheus-prod"}
        fleet["rollback"]["conditions"] = ["errorRate > 5%"]
        self.spec.write_text(yaml.safe_dump({**fleet, **changes}))
        (self.folder / "sites").mkdir(exist_ok=True)
        for site, registry in self.registries.items():
            facts = json.loads((ROOT / "sites" / f"{site}.json").read_text())
            (self.folder / "sites" / f"{site}.json").write_text(json.dumps({**facts, "registry": f"{registry.host}/fleet"}))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    registries = {site: LoopbackRegistry() for site in SITES}
    monkeypatch.setattr(starting, "PACE", AT_ONCE)
    monkeypatch.setattr(delivering, "PACE", AT_ONCE)
    monkeypatch.setattr(release_command, "PATIENCE", Patience(connect=2, silence=5, attempts=1))
    with FakeGate() as gate, FakeConsole() as console:
        for name, value in {
            "LORAFLEET_GATE_URL": gate.url,
            "LORAFLEET_TOKEN": FakeConsole.token,
            "LORAFLEET_WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef",
            "DOCKER_CONFIG": str(tmp_path / "nothing"),
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("REGISTRY_AUTH_FILE", "LORAFLEET_CONSOLE"):
            monkeypatch.delenv(name, raising=False)
        made = World(tmp_path, registries, gate, console)
        made.write()
        public = made.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / "cosign.pub").write_bytes(public)
        for site in SITES:
            made.sign(site)
        yield made
    for registry in registries.values():
        registry.close()


@pytest.fixture
def release(world: World, capsys: pytest.CaptureFixture[str]) -> Release:
    assert main(["release", "push", str(world.spec)]) == 0
    capsys.readouterr()

    def release(image: str = "", *words: str) -> tuple[int, str, list[str]]:
        named = image or f"{world.image}@{world.digest}"
        options = ("--key", str(world.folder / "cosign.pub"), "--spec", str(world.spec), "--console", world.console.url)
        code = main(["image", "release", named, *options, *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return release


def test_a_release_is_verified_started_and_watched_to_its_end(release: Release, world: World) -> None:
    code, out, lines = release()
    assert (code, lines) == (0, [])
    (registered,) = world.console.registered
    assert registered["digest"] == world.digest
    (started,) = world.gate.called("POST /pipelines/v2/.*")
    assert started.body["parameters"] == {"image_digest": world.digest, "release": "r1", "console_token": "token-of-r1"}
    assert "token-of-r1" not in out
    abroad = f"{world.registries[SITES[1]].host}/fleet/lora-trainer@{world.digest}"
    assert f"verified {abroad}: signed, without an SBOM" in out
    assert "plan: 0 to create, 1 to change" in out
    assert out.splitlines()[-1] == f"released {world.image}@{world.digest}"


def test_a_tag_is_looked_up_once_and_forgotten(release: Release, world: World) -> None:
    code, out, _ = release(f"{world.image}:v1", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert events[0] == {"event": "image", "image": f"{world.image}@{world.digest}"}
    named = [event["event"] for event in events]
    assert named[1:5] == ["verified", "verified", "plan", "started"]
    assert named[-1] == "released"
    assert world.console.registered[0]["digest"] == world.digest


def test_a_release_that_ends_badly_ends_with_code_1(release: Release, world: World) -> None:
    failed = {"id": "i", "refId": "w", "name": "Watch 10% aws", "type": "webhook", "status": "TERMINAL"}
    world.gate.first_snapshot = lambda start: [{**start, "status": "TERMINAL", "stages": [failed]}]
    code, out, lines = release()
    assert code == ExitCode.FAILED
    assert lines == [f"error: {APPLICATION}/release ended TERMINAL: Watch 10% aws"]
    assert "released" not in out


def test_what_is_not_everywhere_is_not_released(release: Release, world: World) -> None:
    registry = world.registries[SITES[1]]
    registry.repositories.clear()
    code, _, lines = release()
    assert code == ExitCode.FAILED
    (line,) = lines
    assert line.startswith(f"error: {registry.host}/fleet/lora-trainer@{world.digest}: ")
    assert line.endswith("(lorafleet image mirror copies it there)")
    assert not world.console.registered


def test_what_somebody_else_signed_is_not_released(release: Release, world: World) -> None:
    (world.folder / "cosign.pub").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    code, _, lines = release()
    assert code == ExitCode.FAILED
    assert len(lines) == 2
    assert ["holds no signature of it by cosign.pub" in line for line in lines] == [True, True], lines
    assert not world.console.registered


def test_a_registry_that_is_away_stops_nobody_while_the_quorum_has_the_image(release: Release, world: World) -> None:
    world.registries[SITES[1]].close()
    code, out, _ = release()
    assert code == 0
    assert f"left out: {world.registries[SITES[1]].host}/fleet/lora-trainer" in out
    assert world.console.registered
    code, out, _ = release("", "--json")
    assert code == 0
    (away,) = (event for event in map(json.loads, out.splitlines()) if event["event"] == "away")
    assert "the connection is refused" in away["problem"]


def test_too_few_registries_stop_it(release: Release, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.write(release={**yaml.safe_load(world.spec.read_text())["release"], "quorum": 2})
    assert main(["release", "push", str(world.spec)]) == 0
    capsys.readouterr()
    world.registries[SITES[1]].close()
    code, _, lines = release()
    assert code == ExitCode.FAILED
    assert "1 of 2 sites can get the image, and the release needs 2" in lines[-1]
    assert not world.console.registered


def test_gate_must_hold_the_pipelines(release: Release, world: World) -> None:
    world.gate.put({**world.gate.named("rollback", APPLICATION), "disabled": True})
    code, _, lines = release()
    assert code == ExitCode.CONFIG
    assert f"Gate does not hold rollback of {APPLICATION} as this spec says (lorafleet release push, then run)" in lines[-1]
    assert not world.console.registered


@pytest.mark.parametrize(
    ("image", "code", "line"),
    [
        ("{image}:v9", ExitCode.STORAGE, "lora-trainer:v9: there is no such tag"),
        ("{image}", ExitCode.USAGE, "names neither digest nor tag"),
        ("lora-trainer:v1", ExitCode.USAGE, "names no registry"),
        ("NOT AN IMAGE", ExitCode.USAGE, "is no image"),
        ("{host}/fleet/other@sha256:" + "a" * 64, ExitCode.CONFIG, "the fleet releases 'lora-trainer', and this is 'other'"),
    ],
    ids=["no tag", "bare", "no registry", "no image", "another image"],
)
def test_bad_images_are_one_line(image: str, code: ExitCode, line: str, release: Release, world: World) -> None:
    ended, _, lines = release(image.format(image=world.image, host=world.registries[SITES[0]].host))
    assert ended == code
    assert len(lines) == 1
    assert line in lines[0]
    assert not world.console.registered
