"""The registry client, the copy and the signatures against two real registries."""

import base64
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafleet.cli import main
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import StorageError
from lorafleet.image.keys import SigningKey, new_pair, read_signing_key
from lorafleet.image.mirroring import mirror
from lorafleet.image.signing import sign
from lorafleet.registry.credentials import read_credentials
from lorafleet.registry.errors import Damaged, Failed, Refused
from lorafleet.registry.manifests import Descriptor, digest_of
from lorafleet.registry.signatures import verify
from tests.contract.registry_suite import LAYER, Place, RegistrySuite, push_image
from tests.engines.docker_registry import PASSWORD, USER, DockerRegistry
from tests.engines.tcp_proxy import Fault, TcpProxy

pytestmark = pytest.mark.timeout(120)

Start = Callable[..., DockerRegistry]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    started: list[DockerRegistry] = []

    def start(name: str, **options: object) -> DockerRegistry:
        started.append(DockerRegistry(tmp_path_factory.mktemp(name), name, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="module")
def home(start: Start) -> DockerRegistry:
    return start("home")


@pytest.fixture(scope="module")
def abroad(start: Start) -> DockerRegistry:
    return start("abroad")


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("cosign", "other"):
        private, public = new_pair(b"long enough")
        (folder / f"{name}.key").write_bytes(private)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


@pytest.fixture(scope="module")
def signing_keys(key_files: Path) -> tuple[SigningKey, SigningKey]:
    one, two = (read_signing_key(key_files / f"{name}.key", b"long enough") for name in ("cosign", "other"))
    return one, two


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A path that no other test uses."""
    return "t" + digest_of(request.node.nodeid.encode())[7:19]


class TestDockerRegistry(RegistrySuite):
    @pytest.fixture
    def place(self, home: DockerRegistry, name: str) -> Place:
        return lambda last: home.repository(f"{name}/{last}")

    @pytest.fixture
    def other(self, abroad: DockerRegistry, name: str) -> Place:
        return lambda last: abroad.repository(f"{name}/{last}")


def noise(count: int, seed: int) -> bytes:
    return b"".join(bytes.fromhex(digest_of(f"{seed} {number}".encode())[7:]) for number in range(count // 32))


def test_dropped_connections_on_both_sides_do_not_stop_a_copy(
    home: DockerRegistry, abroad: DockerRegistry, name: str, tmp_path: Path
) -> None:
    near, far = TcpProxy(home.port), TcpProxy(abroad.port)
    try:
        source = home.repository(name)
        index = push_image(source, noise(3_000_000, 1), noise(2_000_000, 2))
        near.faults.append(Fault("drop", "down", 1_500_000))
        far.faults.extend([Fault("drop", "up", 1_200_000), Fault("drop", "up", 1_700_000)])
        target = abroad.repository(name, host=f"127.0.0.1:{far.port}")
        (copy,) = mirror(home.repository(name, host=f"127.0.0.1:{near.port}"), index.digest, [target], scratch=tmp_path)
        assert copy.problem == ""
        assert len(near.met) == 1
        assert len(far.met) == 2
        assert abroad.repository(name).manifest(index.digest).content == index.content
        (again,) = mirror(source, index.digest, [abroad.repository(name)], scratch=tmp_path)
        assert again.sent == 0
    finally:
        near.close()
        far.close()


def test_a_copy_that_was_broken_off_goes_on_with_the_rest(
    home: DockerRegistry, abroad: DockerRegistry, name: str, tmp_path: Path
) -> None:
    far = TcpProxy(abroad.port)
    source = home.repository(name)
    layers = [noise(1_000_000, number) for number in range(3, 7)]
    index = push_image(source, *layers)
    target = abroad.repository(name, host=f"127.0.0.1:{far.port}")
    try:
        # One layer arrives; then the line is cut for good.
        target.upload(Descriptor(LAYER, digest_of(layers[0]), len(layers[0])), lambda: io.BytesIO(layers[0]))
        far.cut()
        (cut,) = mirror(source, index.digest, [target], scratch=tmp_path)
        assert "run the same again" in cut.problem
        far.accept()
        (copy,) = mirror(source, index.digest, [target], scratch=tmp_path)
        assert (copy.problem, copy.skipped) == ("", 1)
        assert 3_000_000 <= copy.sent < 3_100_000
    finally:
        far.close()


@pytest.mark.parametrize("part", ["layer", "manifest"])
def test_a_tampered_image_is_neither_copied_nor_verified(
    home: DockerRegistry, abroad: DockerRegistry, name: str, part: str, signing_keys: tuple[SigningKey, SigningKey], tmp_path: Path
) -> None:
    source, target = home.repository(name), abroad.repository(name)
    index = push_image(source, f"the layer of {part}".encode())
    sign(source, index.digest, signing_keys[0])
    image = source.manifest(index.children[0].digest)
    file = home.blob(image.layers[0].digest if part == "layer" else index.digest)
    file.write_bytes(file.read_bytes().replace(b"layer", b"lAyer").replace(b"amd64", b"arm64"))
    with pytest.raises(Damaged, match="another digest"):
        mirror(source, index.digest, [target], scratch=tmp_path)
    assert target.find(index.digest) is None
    if part == "manifest":
        with pytest.raises(Damaged, match="another digest"):
            verify(source, index.digest, [signing_keys[0].public])


def test_a_registry_with_passwords(start: Start, name: str, tmp_path: Path) -> None:
    registry = start("closed", authenticated=True)

    def credentials(password: str) -> Path:
        path = tmp_path / "config.json"
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        path.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
        return path

    with pytest.raises(Refused, match="refuses without credentials"):
        registry.repository(name).find("v1")
    with pytest.raises(Refused, match="refuses without credentials"):
        registry.repository(name, read_credentials(credentials("wrong"))).find("v1")
    repository = registry.repository(name, read_credentials(credentials(PASSWORD)))
    index = push_image(repository)
    found = repository.find("v1")
    assert found is not None
    assert found.digest == index.digest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_stops_no_other_registry(
    start: Start, home: DockerRegistry, abroad: DockerRegistry, small_disk: Path, name: str, tmp_path: Path
) -> None:
    full = start("full", data=small_disk)
    source = home.repository(name)
    index = push_image(source, noise(5_000_000, 9))
    big = source.manifest(index.children[0].digest).layers[0]
    copies = mirror(source, index.digest, [full.repository(name), abroad.repository(name)], scratch=tmp_path)
    assert "500" in copies[0].problem
    assert "look at the registry's disk" in copies[0].problem
    assert copies[1].problem == ""
    with pytest.raises(Failed, match="answers 500"):
        full.repository(name).in_chunks(1_000_000).upload(big, lambda: io.BytesIO(noise(5_000_000, 9)))
    assert full.repository(name).find(index.digest) is None


def test_a_full_scratch_folder_is_told(home: DockerRegistry, abroad: DockerRegistry, small_disk: Path, name: str) -> None:
    source = home.repository(name)
    index = push_image(source, noise(5_000_000, 10))
    with pytest.raises(StorageError, match=r"cannot be written: No space left on device .*--scratch"):
        mirror(source, index.digest, [abroad.repository(name)], scratch=small_disk)
    assert list(small_disk.iterdir()) == []


def test_the_commands_from_signing_to_verifying_in_both_registries(
    home: DockerRegistry,
    abroad: DockerRegistry,
    name: str,
    key_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "long enough")
    monkeypatch.setenv("HOME", str(tmp_path))
    lock = tmp_path / "lock.txt"
    lock.write_text(f"torch==2.15.0 \\\n    --hash=sha256:{'0' * 64}\n")
    index = push_image(home.repository(f"{name}/trainer"))
    here, there = (f"{registry.host}/{name}/trainer@{index.digest}" for registry in (home, abroad))
    public = str(key_files / "cosign.pub")

    def said(*words: str, code: int = 0) -> str:
        assert main(["image", *words]) == code
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return out.out if code == 0 else out.err

    assert "holds no signature of it" in said("verify", here, "--key", public, code=ExitCode.STORAGE)
    assert "does not hold it" in said("verify", there, "--key", public, code=ExitCode.STORAGE)
    assert "names a tag" in said("mirror", here.partition("@")[0] + ":v1", "--to", f"{abroad.host}/{name}", code=ExitCode.USAGE)
    assert "signed" in said("sign", here, "--key", str(key_files / "cosign.key"))
    said("sbom", here, "--lock", str(lock), "--rootfs", str(tmp_path))
    printed = json.loads(said("mirror", here, "--to", f"{abroad.host}/{name}", "--json"))
    assert [each["problem"] for each in printed["copies"]] == [""]
    proof = json.loads(said("verify", there, "--key", public, "--require-sbom", "--json"))
    assert proof["key"] == "cosign.pub"
    assert proof["sbom"].startswith("sha256:")
    assert "holds no signature of it by other.pub" in said(
        "verify", there, "--key", str(key_files / "other.pub"), code=ExitCode.STORAGE
    )
    failed = said("mirror", here, "--to", "127.0.0.1:9/x", "--to", f"{abroad.host}/{name}/again", code=ExitCode.STORAGE)
    assert "127.0.0.1:9/x/trainer" in failed
    assert "1 of 2 registries have the image" in failed
