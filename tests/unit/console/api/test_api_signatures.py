"""The preflight looks for the image's signature in the sites' registries."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from loopback_registry import LoopbackRegistry

from lorafleet.console.settings import refuse_unsafe
from lorafleet.contracts import paths
from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.release_api import StageAnswer
from lorafleet.image.keys import SigningKey
from lorafleet.image.signing import sign
from lorafleet.registry.repository import Registries
from lorafleet.registry.signatures import tag_of
from tests.contract.registry_suite import push_image
from tests.unit.console.api.release_calls import facts, polled, registered
from tests.unit.console.api.running_console import HttpWorker, RunningConsole, StartConsole

_REPOSITORY = "fleet/trainer"
# An application has one release at a time.
_NUMBERS = count()

KEYS = {name: SigningKey(name, ec.generate_private_key(ec.SECP256R1())) for name in ("ours", "older", "theirs")}


@pytest.fixture(scope="module")
def registries() -> Iterator[dict[str, LoopbackRegistry]]:
    found = {"a": LoopbackRegistry(), "b": LoopbackRegistry()}
    yield found
    for registry in found.values():
        registry.close()


@pytest.fixture(scope="module")
def console(
    start_console: StartConsole, registries: dict[str, LoopbackRegistry], tmp_path_factory: pytest.TempPathFactory
) -> RunningConsole:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "older"):
        public = KEYS[name].key.public_key()
        (folder / f"{name}.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    sites = {name: facts(name, f"{registry.host}/fleet") for name, registry in registries.items()}
    return start_console(("a", "b"), sites, signing_keys=(folder / "ours.pub", folder / "older.pub"))


def pushed(registries: dict[str, LoopbackRegistry], layer: bytes, **signers: str) -> str:
    """The digest of an image that both registries hold; ``a="ours"`` has it signed by this key there."""
    digest = ""
    for site, registry in registries.items():
        repository = Registries().repository(ImageReference(_REPOSITORY, registry.host))
        digest = push_image(repository, layer).digest
        if site in signers:
            sign(repository, digest, KEYS[signers[site]])
    return digest


def preflight(console: RunningConsole, digest: str, site: str = "") -> StageAnswer:
    release, pipeline = registered(console, "a", "b", digest=digest, application=f"fleet-{next(_NUMBERS)}")
    return polled(pipeline, paths.site_preflight(release, site) if site else paths.preflight(release))


def test_an_image_that_is_signed_everywhere_passes(
    console: RunningConsole, registries: dict[str, LoopbackRegistry], worker: Callable[..., HttpWorker]
) -> None:
    digest = pushed(registries, b"good", a="ours", b="older")
    answer = preflight(console, digest)
    assert answer.status == "PASS"
    assert answer.detail == "a: holds the digest, signed by ours.pub; b: holds the digest, signed by older.pub"
    worker(site="a").enrol().ask_lease(0)
    assert preflight(console, digest, "a").status == "PASS"


def test_an_unsigned_image_fails(console: RunningConsole, registries: dict[str, LoopbackRegistry]) -> None:
    answer = preflight(console, pushed(registries, b"unsigned"))
    assert (answer.status, answer.detail) == ("FAIL", "a: holds no signature of it; b: holds no signature of it")


def test_a_signature_by_another_key_fails(console: RunningConsole, registries: dict[str, LoopbackRegistry]) -> None:
    answer = preflight(console, pushed(registries, b"stranger", a="theirs", b="theirs"))
    assert answer.status == "FAIL"
    assert "a: holds no signature of it by ours.pub, older.pub" in answer.detail


def test_the_signature_of_another_image_fails(console: RunningConsole, registries: dict[str, LoopbackRegistry]) -> None:
    good, evil = pushed(registries, b"signed", a="ours", b="ours"), pushed(registries, b"evil")
    for registry in registries.values():
        tags = registry.repository(_REPOSITORY).tags
        tags[tag_of(evil)] = tags[tag_of(good)]
    answer = preflight(console, evil)
    assert answer.status == "FAIL"
    assert "a: holds no signature of it by" in answer.detail


def test_a_registry_that_gives_another_image_for_the_digest_fails(
    console: RunningConsole, registries: dict[str, LoopbackRegistry]
) -> None:
    digest, other = pushed(registries, b"mine", a="ours", b="ours"), pushed(registries, b"yours")
    for registry in registries.values():
        manifests = registry.repository(_REPOSITORY).manifests
        manifests[digest] = manifests[other]
    answer = preflight(console, digest)
    assert answer.status == "FAIL"
    assert "a: gives another digest" in answer.detail


def test_one_site_without_the_signature_fails_alone(console: RunningConsole, registries: dict[str, LoopbackRegistry]) -> None:
    digest = pushed(registries, b"half", a="ours")
    assert preflight(console, digest).status == "PASS"
    answer = preflight(console, digest, "b")
    assert answer.status == "FAIL"
    assert "its registry holds no signature of it" in answer.detail


def test_the_console_says_how_it_is_set_up(console: RunningConsole) -> None:
    checks = {each["name"]: each for each in console.admin.get(f"{paths.API}/checkup").raise_for_status().json()["checks"]}
    assert (checks["signatures"]["result"], checks["signatures"]["found"]) == ("ok", "releases must be signed")


def test_a_key_that_is_none_is_refused_at_the_start(start_console: StartConsole, tmp_path: Path) -> None:
    (tmp_path / "cosign.pub").write_text("nothing")
    with pytest.raises(ConfigError, match="no public ECDSA key"):
        start_console(("a",), {}, signing_keys=(tmp_path / "cosign.pub",))


def test_keys_and_allow_unsigned_together_are_refused(console: RunningConsole) -> None:
    with pytest.raises(ConfigError, match="keys are of no use where unsigned images pass"):
        refuse_unsafe(replace(console.services.settings, allow_unsigned=True))
