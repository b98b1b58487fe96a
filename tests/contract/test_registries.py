"""The registry in this process keeps the contract, with the referrers API and without it."""

from collections.abc import Iterator

import pytest
from loopback_registry import LoopbackRegistry

from lorafleet.contracts.image import ImageReference
from lorafleet.image.keys import SigningKey, new_pair, read_signing_key
from lorafleet.registry.repository import Registries
from tests.contract.registry_suite import HASTE, Place, RegistrySuite


@pytest.fixture(scope="module")
def signing_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[SigningKey, SigningKey]:
    keys = []
    for name in ("one", "two"):
        path = tmp_path_factory.mktemp("keys") / f"{name}.key"
        path.write_bytes(new_pair(b"long enough")[0])
        keys.append(read_signing_key(path, b"long enough"))
    return keys[0], keys[1]


@pytest.fixture
def registry() -> Iterator[LoopbackRegistry]:
    registry = LoopbackRegistry()
    yield registry
    registry.close()


def places(registry: LoopbackRegistry) -> Place:
    registries = Registries(patience=HASTE)
    return lambda name: registries.repository(ImageReference(f"{name}/trainer", registry.host))


@pytest.fixture
def place(registry: LoopbackRegistry) -> Place:
    return places(registry)


@pytest.fixture
def other() -> Iterator[Place]:
    registry = LoopbackRegistry()
    yield places(registry)
    registry.close()


class TestLoopbackRegistry(RegistrySuite):
    pass


class TestWithoutReferrers(RegistrySuite):
    @pytest.fixture
    def registry(self) -> Iterator[LoopbackRegistry]:
        registry = LoopbackRegistry()
        registry.has_referrers = False
        yield registry
        registry.close()
