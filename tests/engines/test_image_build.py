"""The images, really built from the Dockerfile, and really run: read-only, without root, with a memory limit."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from lorafleet.contracts.image import parse_image
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.demo.command import configuration
from lorafleet.demo.photographs import write_photographs
from lorafleet.registry.manifests import Descriptor
from lorafleet.registry.repository import Registries
from tests.engines.docker_registry import DockerRegistry
from tests.engines.image.bases import local_base
from tests.engines.image.builds import Builds
from tests.engines.processes import free_port, wait_until
from trainer.proof import load_in_diffusers
from trainer.tiny.stable_diffusion import make_sd15

# The trainer's first build takes in torch with all CUDA libraries: 3 GB.
pytestmark = pytest.mark.timeout(1500)

USER = 10001
CODE = "/opt/lorafleet/code"


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    return Builds(tmp_path_factory.mktemp("builds"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    registry = DockerRegistry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def place(registry: DockerRegistry) -> str:
    return f"{registry.host}/fleet/console"


@pytest.fixture(scope="module")
def console(builds: Builds, place: str) -> dict[str, Any]:
    return builds.build("console", "--push", place)


@pytest.fixture(scope="module")
def trainer(builds: Builds) -> str:
    return str(builds.build("trainer")["image"])


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest) -> str:
    """One of the two, by its target's name."""
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, str) else str(found["image"])


both = pytest.mark.parametrize("image", ["trainer", "console"], indirect=True)


def layers(place: str, digest: str) -> tuple[Descriptor, ...]:
    return Registries().repository(parse_image(place)).manifest(digest).layers


@both
def test_the_description(image: str, builds: Builds) -> None:
    config = builds.inspect(image)["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/usr/bin/tini", "--", "lorafleet"]
    assert config["Cmd"][0] in ("worker", "serve")
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items() if name.startswith("org.opencontainers")}
    assert labels["licenses"] == "Apache-2.0"
    assert labels["name"] == local_base()
    assert labels["revision"] == "unknown"  # the copy that it is built from is no git checkout
    assert not [name for name in config["Env"] if "TOKEN" in name or "PASSWORD" in name or "CERT" in name]


@both
def test_what_is_in_it_and_what_is_not(image: str, builds: Builds) -> None:
    script = (
        "import os, shutil, lorafleet, trainer\n"
        "print(os.getuid(), lorafleet.__file__, trainer.__file__)\n"
        "names = 'gcc cc g++ c++ clang tcc ld as make pip pip3 uv git curl wget'.split()\n"
        "print([name for name in names if shutil.which(name)])\n"
        "print([path for path in ('/', '/opt/lorafleet/code', '/opt/lorafleet/venv', '/usr') if os.access(path, os.W_OK)])\n"
        "print(os.access('/tmp', os.W_OK), os.access(os.getcwd(), os.W_OK))\n"
    )
    ran = builds.run(image, ["-c", script], "--entrypoint", "python")
    assert ran.code == 0, ran.err
    who, tools, writable, scratch = ran.out.splitlines()
    assert who == f"{USER} {CODE}/lorafleet/__init__.py {CODE}/trainer/__init__.py"
    assert tools == "[]"
    assert writable == "[]"
    assert scratch == "True True"


@both
def test_every_module_is_compiled_and_by_hash(image: str, builds: Builds) -> None:
    """On a read-only root a module that is not would be compiled at each start; by date it would be, for layers have none."""
    script = (
        "import pathlib, sys\n"
        "roots = [pathlib.Path('/opt/lorafleet/code')]\n"
        "files = [file for root in roots for file in root.rglob('*.py')]\n"
        "cached = [file.parent / '__pycache__' / f'{file.stem}.{sys.implementation.cache_tag}.pyc' for file in files]\n"
        "import pydantic\n"
        "cached.append(pathlib.Path(pydantic.__cached__))\n"
        "print(len(cached), [str(each) for each in cached if not each.exists() or each.read_bytes()[4] != 1])\n"
    )
    ran = builds.run(image, ["-c", script], "--entrypoint", "python")
    assert ran.code == 0, ran.err
    count, _, wrong = ran.out.strip().partition(" ")
    assert int(count) > 200
    assert wrong == "[]"


def test_the_same_source_gives_the_same_digest_without_any_cache(builds: Builds, console: dict[str, Any], place: str) -> None:
    again = builds.build("console", "--push", f"{place}-again", "--no-cache")
    assert again["digest"] == console["digest"]


def test_the_revision_is_not_the_last_builds(builds: Builds, console: dict[str, Any], tmp_path: Path) -> None:
    source = shutil.copytree(builds.source, tmp_path / "source")
    for words in (["init"], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(source), *words], check=True, capture_output=True)
    built = builds.build("console", source=source)
    labels = builds.inspect(built["image"])["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == built["revision"]
    assert built["revision"] != console["revision"]


def test_a_code_change_ships_one_small_layer(builds: Builds, console: dict[str, Any], place: str, tmp_path: Path) -> None:
    source = shutil.copytree(builds.source, tmp_path / "source")
    with (source / "trainer" / "loop.py").open("a") as file:
        file.write("\n# changed\n")
    changed = builds.build("console", "--push", f"{place}-changed", source=source)
    assert changed["digest"] != console["digest"]
    before, after = layers(place, console["digest"]), layers(f"{place}-changed", changed["digest"])
    new = [layer for layer in after if layer not in before]
    assert len(new) == 1
    assert new[0].size < 5_000_000


def test_both_images_share_the_layer_of_the_code(builds: Builds, console: dict[str, Any], trainer: str) -> None:
    stacks = [builds.inspect(image)["RootFS"]["Layers"] for image in (trainer, console["image"])]
    assert stacks[0][-1] == stacks[1][-1]


def test_the_trainer_trains_read_only_without_root_below_a_memory_limit(trainer: str, builds: Builds, tmp_path: Path) -> None:
    write_photographs(tmp_path / "photos")
    base = make_sd15(tmp_path / "base")
    (tmp_path / "lora").mkdir()
    shutil.chown(tmp_path / "lora", USER, USER)
    inside = Path("/job")
    config = configuration(
        inside, inside / "photos", inside / "base" / base.checkpoint.name, inside / "base" / base.config.name, 12
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    ran = builds.run(trainer, ["train", "/job/config.yaml"], "--volume", f"{tmp_path}:/job")
    assert ran.code == 0, ran.out[-2000:] + ran.err[-2000:]
    (weights,) = (tmp_path / "lora").glob("*.safetensors")
    assert weights.stat().st_uid == USER
    assert load_in_diffusers(base.checkpoint, base.config, weights) > 0


def test_the_memory_limit_is_one(trainer: str, builds: Builds) -> None:
    ran = builds.run(trainer, ["-c", "x = b'1' * (1 << 30)"], "--entrypoint", "python", memory="256m")
    assert ran.code == 137


def test_the_console_serves_its_pages_from_the_image(console: dict[str, Any], builds: Builds, tmp_path: Path) -> None:
    data, port, name = tmp_path / "data", free_port(), f"lorafleet-test-{free_port()}"
    data.mkdir()
    shutil.chown(data, USER, USER)
    words = ["serve", "--dir", "/data", "--host", "127.0.0.1", "--port", str(port), "--no-auth"]
    command = builds.words(console["image"], words, "--name", name, "--volume", f"{data}:/data", memory="512m")
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=builds.environment, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: _answers(url), 60, "the console answers")
            page = requests.get(url, timeout=10)
            assert page.status_code == 200
            assert "text/html" in page.headers["Content-Type"]
            assert "<title>" in page.text
            sheet = next(part for part in page.text.split('"') if part.startswith("/") and part.partition("?")[0].endswith(".css"))
            assert requests.get(url + sheet, timeout=10).headers["Content-Type"].startswith("text/css")
            chinese = requests.get(url, headers={"Accept-Language": "zh"}, timeout=10)
            assert 'lang="zh' in chinese.text
            first = subprocess.run(
                ["podman", "exec", name, "cat", "/proc/1/comm"], env=builds.environment, capture_output=True, text=True, check=True
            )
            assert first.stdout.strip() == "tini"
        finally:
            subprocess.run(["podman", "stop", "--time", "20", name], env=builds.environment, capture_output=True, check=False)
        begun = time.monotonic()
        assert process.wait(30) == ExitCode.FINISHED
        assert time.monotonic() - begun < 20


def _answers(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=2).ok
    return False


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Buildah's storage on 64 MB."""
    root = tmp_path / "storage"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(root)], check=True)
    settings = tmp_path / "storage.conf"
    settings.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{root}/graph"\nrunroot = "{root}/run"\n')
    try:
        yield {"CONTAINERS_STORAGE_CONF": str(settings), "TMPDIR": str(root)}
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_a_full_disk_is_one_line(builds: Builds, registry: DockerRegistry, tmp_path: Path, tiny_disk: dict[str, str]) -> None:
    digest = tmp_path / "digest"
    there = f"{registry.host}/base:here"
    words = ["buildah", "push", "--quiet", "--tls-verify=false", "--digestfile", str(digest), local_base(), f"docker://{there}"]
    subprocess.run(words, env=builds.environment, check=True, capture_output=True)
    base = f"{registry.host}/base@{digest.read_text().strip()}"
    ran = builds.command("--target", "console", "--base", base, env=tiny_disk)
    assert ran.code == ExitCode.STORAGE
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: buildah failed: ")
    assert "no space left on device" in last
    assert "buildah prune" in last


def test_a_registry_that_is_away_is_one_line(builds: Builds) -> None:
    base = f"127.0.0.1:{free_port()}/base@sha256:{'0' * 64}"
    ran = builds.command("--target", "console", "--base", base)
    assert ran.code == ExitCode.UNAVAILABLE
    assert "connection refused" in ran.err.splitlines()[-1]
