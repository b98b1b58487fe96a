"""Copying with registries that misbehave, and the commands around it."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from loopback_registry import Fault, LoopbackRegistry

from lorafleet.cli import main
from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import StorageError, UsageError
from lorafleet.image.keys import SigningKey
from lorafleet.image.mirroring import mirror, read_contents
from lorafleet.image.references import pinned
from lorafleet.image.signing import sign
from lorafleet.image.targets import of_fleet, of_words
from lorafleet.image.verifying import SBOM, prove
from lorafleet.registry.errors import Damaged
from lorafleet.registry.manifests import digest_of
from lorafleet.registry.repository import Registries, Repository
from lorafleet.registry.signatures import Unsigned
from tests.contract.registry_suite import HASTE, attach, push_image

DIGEST = f"sha256:{'a' * 64}"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def home() -> Iterator[LoopbackRegistry]:
    registry = LoopbackRegistry()
    yield registry
    registry.close()


@pytest.fixture
def abroad() -> Iterator[LoopbackRegistry]:
    registry = LoopbackRegistry()
    yield registry
    registry.close()


def at(registry: LoopbackRegistry, name: str = "fleet/trainer") -> Repository:
    return Registries(patience=HASTE).repository(ImageReference(name, registry.host))


class Noted:
    def __init__(self) -> None:
        self.plans: dict[str, int] = {}
        self.moves: dict[str, int] = {}

    def planned(self, target: str, size: int) -> None:
        self.plans[target] = size

    def moved(self, target: str, size: int) -> None:
        self.moves[target] = self.moves.get(target, 0) + size


def test_each_blob_is_read_once_and_manifests_come_last(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source, b"one", b"two" * 1000)
    home.asked.clear()
    noted = Noted()
    targets = [at(abroad, "eu/trainer"), at(abroad, "us/trainer")]
    copies = mirror(source, index.digest, targets, noted, tmp_path)
    assert [copy.problem for copy in copies] == ["", ""]
    assert home.counted("GET", "/blobs/") == 3
    assert noted.plans == noted.moves
    assert set(noted.plans) == {str(target) for target in targets}
    methods = [each.path.split("/")[4] for each in abroad.asked if each.method in ("PUT", "POST") and "/eu/" in each.path]
    assert "blobs" not in methods[methods.index("manifests") :]


def test_what_refers_to_what_refers_is_copied_too(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source)
    sbom = attach(source, index, "application/vnd.cyclonedx+json", b"{}")
    note = attach(source, sbom, "application/x-note", b"about the SBOM")
    mirror(source, index.digest, [at(abroad)], scratch=tmp_path)
    assert [each.digest for each in at(abroad).referrers(sbom.digest)] == [note.digest]


def test_a_referrer_that_is_listed_and_gone_stops_nothing(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    home.has_referrers = False
    source = at(home)
    index = push_image(source)
    gone = attach(source, index, SBOM, b"{}")
    note = attach(source, index, "application/x-note", b"a note")
    key = SigningKey("one", ec.generate_private_key(ec.SECP256R1()))
    sign(source, index.digest, key)
    held = home.repository("fleet/trainer")
    assert prove(source, index.digest, [key.public]).sbom == gone.digest
    del held.manifests[gone.digest]
    assert prove(source, index.digest, [key.public]).sbom == ""
    (copy,) = mirror(source, index.digest, [at(abroad)], scratch=tmp_path)
    assert copy.problem == ""
    assert note.digest in {each.digest for each in at(abroad).referrers(index.digest)}
    signature = held.tags.pop(f"{index.digest.replace(':', '-')}.sig")
    del held.manifests[signature]
    with pytest.raises(Unsigned, match="holds no signature of it"):
        prove(source, index.digest, [key.public])


@pytest.mark.parametrize("part", ["layer", "child"])
def test_a_damaged_source_ends_everything(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path, part: str) -> None:
    source = at(home)
    index, other = push_image(source, b"good"), push_image(source, b"evil")
    if part == "layer":
        home.content[digest_of(b"good")] = b"evil"
    else:
        manifests = home.repository("fleet/trainer").manifests
        manifests[index.children[0].digest] = manifests[other.children[0].digest]
    with pytest.raises(Damaged, match="another digest"):
        mirror(source, index.digest, [at(abroad)], scratch=tmp_path)
    assert at(abroad).find(index.digest) is None
    assert list(tmp_path.iterdir()) == []


class Impatient(Noted):
    def moved(self, target: str, size: int) -> None:
        raise KeyboardInterrupt


def test_a_copy_that_is_stopped_leaves_nothing_half_done(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source, *(bytes([number]) * 200_000 for number in range(8)))
    home.asked.clear()
    with pytest.raises(KeyboardInterrupt):
        mirror(source, index.digest, [at(abroad)], Impatient(), tmp_path)
    assert home.counted("GET", "/blobs/") < 9
    assert list(tmp_path.iterdir()) == []
    assert at(abroad).find(index.digest) is None


def test_nobody_waits_for_a_registry_that_hangs(home: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source)
    with socket.create_server(("127.0.0.1", 0)) as hanging:

        def press_ctrl_c() -> None:
            hanging.accept()
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press_ctrl_c, daemon=True).start()
        target = Registries(patience=HASTE).repository(ImageReference("x", f"127.0.0.1:{hanging.getsockname()[1]}"))
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            mirror(source, index.digest, [target], scratch=tmp_path)
    assert time.monotonic() - began < HASTE.silence / 2
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_mounts_nothing_is_sent_it(home: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source)
    home.faults.extend(Fault("POST", r"uploads/\?mount=", status=status) for status in (401, 403, 404))
    (copy,) = mirror(source, index.digest, [at(home, "other/trainer")], scratch=tmp_path)
    assert (copy.problem, copy.mounted) == ("", 0)
    assert copy.sent > 0
    assert at(home, "other/trainer").find(index.digest) is not None


def test_one_full_registry_stops_no_other(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    full = LoopbackRegistry()
    full.capacity = 10
    source = at(home)
    index = push_image(source)
    copies = mirror(source, index.digest, [at(full), at(abroad)], scratch=tmp_path)
    full.close()
    assert "no space left" in copies[0].problem
    assert copies[1].problem == ""
    assert at(abroad).find(index.digest) is not None


def test_a_registry_that_loses_a_manifest_is_found_out(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source)
    abroad.faults.append(Fault("HEAD", f"/manifests/{index.digest}", status=404))
    (copy,) = mirror(source, index.digest, [at(abroad)], scratch=tmp_path)
    assert "does not hold it after all was stored" in copy.problem


def test_immutable_tags_that_are_right_already_are_left_alone(
    home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path
) -> None:
    home.has_referrers = False
    source, target = at(home), at(abroad)
    index = push_image(source)
    tag = f"{index.digest.replace(':', '-')}.att"
    source.put_manifest(source.manifest(index.children[0].digest), tag)
    for _ in range(2):
        (copy,) = mirror(source, index.digest, [target], scratch=tmp_path)
        assert copy.problem == ""
        abroad.immutable_tags = True
    assert abroad.counted("PUT", f"/manifests/{tag}") == 1


def test_an_index_stands_behind_what_it_points_to(home: LoopbackRegistry) -> None:
    source = at(home)
    index = push_image(source)
    contents = read_contents(source, index.digest)
    assert [manifest.digest for manifest, _ in contents.manifests] == [index.children[0].digest, index.digest]
    assert len(contents.blobs) == 3


def test_a_scratch_folder_that_is_not_there(home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path) -> None:
    source = at(home)
    index = push_image(source)
    with pytest.raises(StorageError, match="cannot be used"):
        mirror(source, index.digest, [at(abroad)], scratch=tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("r.example/fleet/trainer:v1", "names a tag, which may be another image tomorrow"),
        ("r.example/fleet/trainer", "names no digest"),
        (f"trainer@{DIGEST}", "names no registry"),
        ("https://r.example/x", "is no image"),
    ],
)
def test_images_on_the_command_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pinned(text)


def test_a_tag_beside_a_digest_is_left_out() -> None:
    assert str(pinned(f"r.example/fleet/trainer:v1@{DIGEST}")) == f"r.example/fleet/trainer@{DIGEST}"


def test_where_an_image_goes(tmp_path: Path) -> None:
    image = pinned(f"registry.example.org/example/lora-trainer@{DIGEST}")
    places = [str(place) for place in of_fleet(image, ROOT / "fleet.yaml", None)]
    assert places == [
        f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lorafleet-aws-eu-central-1/lora-trainer@{DIGEST}",
        f"us-west1-docker.pkg.dev/example-project/lorafleet-gcp-us-west1/lora-trainer@{DIGEST}",
        f"exampleazurewesteuropeb41832.azurecr.io/lora-trainer@{DIGEST}",
    ]
    assert [str(place) for place in of_words(image, ["b.example/x/", "b.example/x"])] == [f"b.example/x/lora-trainer@{DIGEST}"]
    for word in ("https://b.example", "nothost", ""):
        with pytest.raises(UsageError, match="is no registry"):
            of_words(image, [word])
    with pytest.raises(UsageError, match="in every one of these registries already"):
        of_words(image, ["registry.example.org/example"])


def test_the_command_tells_of_each_registry(
    home: LoopbackRegistry, abroad: LoopbackRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = push_image(at(home))
    (tmp_path / "config.json").write_text('{"auths": {}}')
    words = ["image", "mirror", f"{home.host}/fleet/trainer@{index.digest}", "--credentials", str(tmp_path / "config.json")]
    assert main([*words, "--to", f"{abroad.host}/eu"]) == 0
    assert f"{abroad.host}/eu/trainer@{index.digest}: 0.0 MB sent, 0 blobs were there" in capsys.readouterr().out
    abroad.repositories.clear()
    abroad.content.clear()
    abroad.faults.append(Fault("POST", "/us/trainer/blobs/uploads/", status=403))
    assert main([*words, "--to", f"{abroad.host}/eu", "--to", f"{abroad.host}/us", "--json"]) == ExitCode.STORAGE
    told = capsys.readouterr()
    problems = [each["problem"] for each in json.loads(told.out)["copies"]]
    assert problems[0] == ""
    assert "lack the right" in problems[1]
    lines = told.err.splitlines()
    assert lines[0].startswith(f"error: {abroad.host}/us/trainer@")
    assert lines[1] == "error: 1 of 2 registries have the image (run the same again: what is there is not sent again)"


def test_the_command_s_help_names_what_a_person_needs(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("mirror", "sign", "verify", "sbom", "compat", "keygen"):
        assert main(["image", name, "--help"]) == 0
        assert "--" in capsys.readouterr().out
