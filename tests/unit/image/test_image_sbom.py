"""The list of what is in the image."""

import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from loopback_registry import LoopbackRegistry

from lorafleet.cli import main
from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.problems import ConfigError, NoInputError
from lorafleet.image import debian
from lorafleet.image.debian import Package
from lorafleet.image.image_files import from_layers, from_root, image_of
from lorafleet.image.lock import Pin
from lorafleet.image.sbom import created_of, make_sbom
from lorafleet.registry.errors import NotHeld
from lorafleet.registry.repository import Registries, Repository
from tests.contract.registry_suite import HASTE, push_image

STATUS = (
    "Package: tini\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0.19.0-1\nDescription: an init\n of one line more\n\n"
    "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
    "Package: python3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.12.3-0ubuntu2\n"
)
OS = 'ID=ubuntu\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04"\n'
FILES = {debian.STATUS: STATUS.encode(), "usr/lib/os-release": OS.encode()}
IMAGE = ImageReference("fleet/trainer", "registry.example.org", digest=f"sha256:{'a' * 64}")
PINS = (Pin("torch", "2.15.0", ("0" * 64, "1" * 64)), Pin("numpy", "2.5.5"))


def document() -> bytes:
    return make_sbom(IMAGE, datetime(2026, 1, 1, tzinfo=UTC), PINS, FILES)


def test_it_is_cyclonedx_1_6_and_the_same_bytes_each_time() -> None:
    # The library's own validator holds it to the standard's schema.
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document().decode()) is None
    assert document() == document()


def test_it_names_what_is_in_the_image() -> None:
    values = json.loads(document())
    purls = {each["purl"] for each in values["components"]}
    assert purls == {
        "pkg:pypi/torch@2.15.0",
        "pkg:pypi/numpy@2.5.5",
        "pkg:deb/ubuntu/tini@0.19.0-1?arch=amd64&distro=noble",
        "pkg:deb/ubuntu/python3@3.12.3-0ubuntu2?arch=amd64&distro=noble",
    }
    torch = next(each for each in values["components"] if each["name"] == "torch")
    assert [each["content"] for each in torch["externalReferences"][0]["hashes"]] == ["0" * 64, "1" * 64]
    assert values["metadata"]["component"]["version"] == IMAGE.digest
    assert values["metadata"]["timestamp"].startswith("2026-01-01T00:00:00")


def test_dpkg_s_files() -> None:
    found = debian.packages({debian.STATUS: STATUS.encode(), f"{debian.STATUS_FOLDER}/libc6": b"Package: libc6\nVersion: 2.36\n"})
    assert found == (
        Package("libc6", "2.36", ""),
        Package("python3", "3.12.3-0ubuntu2", "amd64"),
        Package("tini", "0.19.0-1", "amd64"),
    )
    assert debian.python_of(found) == "3.12"
    assert debian.python_of(found[:1]) is None
    assert debian.distribution({}) == debian.Distribution()
    odd = b'PRETTY_NAME=Somebody\'s own\nID="debian"\n'
    assert debian.distribution({"etc/os-release": odd}) == debian.Distribution("debian")
    assert debian.packages({debian.STATUS: b"Package: \nVersion: \n\nPackage: \tini\n"}) == ()


def test_when_an_image_was_made() -> None:
    assert created_of(b'{"created": "2026-02-03T04:05:06Z"}') == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    for content in (b"", b"[]", b'{"created": "yesterday"}'):
        assert created_of(content) == datetime(1970, 1, 1, tzinfo=UTC)


def layer(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


@pytest.fixture
def repository() -> Iterator[Repository]:
    registry = LoopbackRegistry()
    yield Registries(patience=HASTE).repository(ImageReference("fleet/trainer", registry.host))
    registry.close()


def test_upper_layers_hide_what_lies_below(repository: Repository) -> None:
    base = layer(
        {"./var/lib/dpkg/status": "Package: old\nVersion: 1\n", "etc/os-release": "ID=debian\n", "var/lib/dpkg/status.d/x": "X"}
    )
    middle = layer({"var/lib/dpkg/status": STATUS, "opt/torch": "heavy", "etc/.wh.os-release": ""})
    top = layer({"var/lib/dpkg/status.d/.wh..wh..opq": "", "usr/lib/os-release": OS})
    index = push_image(repository, base, middle, top)
    found = from_layers(repository, image_of(repository, index.digest), debian.wanted)
    assert found == {debian.STATUS: STATUS.encode(), "usr/lib/os-release": OS.encode()}
    with pytest.raises(NotHeld, match="no image for linux/arm64"):
        image_of(repository, index.digest, "linux/arm64")


@pytest.mark.parametrize(
    "content",
    [
        b"\x28\xb5\x2f\xfd compressed otherwise",
        layer({"opt/torch": os.urandom(20_000).hex()})[:9_000],
        lzma.compress(os.urandom(20_000))[:9_000],
    ],
    ids=["another compression", "gzip cut off", "xz cut off"],
)
def test_a_layer_that_is_no_archive(repository: Repository, content: bytes) -> None:
    index = push_image(repository, content)
    with pytest.raises(ConfigError, match="name the folder with --rootfs"):
        from_layers(repository, image_of(repository, index.digest), debian.wanted)


def test_an_unpacked_image(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("/etc/hostname")
    assert from_root(tmp_path, debian.FILES, debian.STATUS_FOLDER) == FILES
    with pytest.raises(NoInputError, match="no such folder"):
        from_root(tmp_path / "none", debian.FILES, debian.STATUS_FOLDER)


def test_the_command_attaches_it_once(repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = push_image(repository, layer({"var/lib/dpkg/status": STATUS}))
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==1.0 ; python_version < '3.12'\nnumpy==2.0 ; python_version >= '3.12'\n")
    (tmp_path / "config.json").write_text('{"auths": {}}')
    words = ["image", "sbom", f"{repository}@{index.digest}", "--lock", str(lock), "--credentials", str(tmp_path / "config.json")]
    digests = []
    for _ in range(2):
        assert main([*words, "--json", "--out", str(tmp_path / "sbom.json")]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["python"], printed["distribution"]) == (1, 2)
        digests.append(printed["sbom"])
    (found,) = repository.referrers(index.digest)
    assert digests == [found.digest] * 2
    assert found.artifact_type == "application/vnd.cyclonedx+json"
    attached = repository.manifest(found.digest).layers[0]
    assert repository.blob(attached) == (tmp_path / "sbom.json").read_bytes()
    assert "pkg:pypi/numpy@2.0" in (tmp_path / "sbom.json").read_text()
