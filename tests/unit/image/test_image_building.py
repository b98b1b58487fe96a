"""``lorafleet image build`` with builders that are small programs of the tests: what they are told, and what comes of what they say."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lorafleet.cli import main
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.image.build_failures import failure
from lorafleet.image.building import revision

DIGEST = f"sha256:{'d' * 64}"
BASE = f"nvidia/cuda:13.2.1-base-ubuntu24.04@sha256:{'b' * 64}"
BUILDAH = """#!/bin/sh
printf '%s\\n' "$@" >> {said}
echo >> {said}
echo '[1/2] STEP 1/2: RUN --mount=type=secret,id=ca,target=/x  apt-get update'
echo 'Selecting previously unselected package python3.'
while [ $# -gt 0 ]; do [ "$1" = --digestfile ] && printf '%s' {digest} > "$2"; shift; done
"""
DOCKER = """#!/bin/sh
[ "$1" = version ] && exit {daemon}
[ "$2" = version ] && exit {buildx}
printf '%s\\n' "$@" "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" >> {said}
echo '#5 [python 2/3] RUN apt-get update'
while [ $# -gt 0 ]; do [ "$1" = --metadata-file ] && echo '{{"containerimage.digest": "{digest}"}}' > "$2"; shift; done
"""

Build = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "said"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with the tests' builders, a shell and nothing else of this machine's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("LORAFLEET_BASE_IMAGE", raising=False)
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


@pytest.fixture
def build(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Build:
    (tmp_path / "Dockerfile").touch()

    def build(*words: str) -> tuple[int, str, list[str]]:
        code = main(["image", "build", "--context", str(tmp_path), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return build


def told(said: Path) -> list[str]:
    return said.read_text().splitlines()


def follows(words: list[str], first: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == first]


def test_buildah_builds_and_pushes(build: Build, programs: Path, said: Path, tmp_path: Path) -> None:
    install(programs, "buildah", BUILDAH.format(said=said, digest=DIGEST))
    code, out, lines = build("--base", BASE, "--push", "registry.example.org/team/lora-trainer", "--tag", "v1", "--json")
    assert code == 0
    image = "registry.example.org/team/lora-trainer:v1"
    assert json.loads(out) == {
        "image": image,
        "digest": DIGEST,
        "target": "trainer",
        "revision": "unknown",
        "builder": "buildah",
    }
    words = told(said)
    assert words[0] == "build"
    assert follows(words, "--target") == ["trainer"]
    assert follows(words, "--tag") == [image]
    assert follows(words, "--timestamp") == ["0"]
    assert follows(words, "--build-arg") == [f"BASE_IMAGE={BASE}", "VERSION=0.1.0", "REVISION=unknown"]
    assert "--no-cache" not in words
    assert "--tls-verify=false" not in words
    assert str(tmp_path) in words
    assert words[-2:] == [f"docker://{image}", ""]
    assert lines == [f"building {image} with buildah on {BASE}", "  RUN apt-get update"]


def test_docker_builds_and_pushes_at_once(build: Build, programs: Path, said: Path) -> None:
    install(programs, "docker", DOCKER.format(said=said, digest=DIGEST, buildx=0, daemon=0))
    install(programs, "buildah", "#!/bin/sh\nexit 1\n")
    code, out, lines = build("--base", BASE, "--push", "registry.example.org/team/lora-trainer", "--tag", "v1")
    assert code == 0
    assert out == f"registry.example.org/team/lora-trainer@{DIGEST}\n"
    words = told(said)
    assert words[:2] == ["buildx", "build"]
    assert {"--provenance=false", "--sbom=false", "SOURCE_DATE_EPOCH=0"} <= set(words)
    (output,) = follows(words, "--output")
    assert output == "type=image,name=registry.example.org/team/lora-trainer:v1,push=true,rewrite-timestamp=true"
    assert "  RUN apt-get update" in lines


@pytest.mark.parametrize("metadata", ["{}", "", "[]"])
def test_docker_that_names_no_digest(build: Build, programs: Path, metadata: str) -> None:
    script = 'while [ $# -gt 0 ]; do [ "$1" = --metadata-file ] && echo "$METADATA" > "$2"; shift; done; exit 0'
    install(programs, "docker", f"#!/bin/sh\nMETADATA='{metadata}'\n{script}\n")
    code, _, lines = build("--base", BASE, "--push", "registry.example.org/team/lora-trainer", "--tag", "v1")
    assert code == ExitCode.FAILED
    assert lines[-1] == "error: docker named no digest of what it pushed (update docker and its buildx plugin)"


def test_without_push_it_stays_here(build: Build, programs: Path, said: Path) -> None:
    install(programs, "docker", DOCKER.format(said=said, digest=DIGEST, buildx=0, daemon=0))
    code, out, lines = build("--base", BASE, "--target", "console")
    assert (code, out) == (0, "localhost/lorafleet/console:unknown\n")
    assert follows(told(said), "--output") == ["type=docker,rewrite-timestamp=true"]
    assert "not pushed" in lines[-1]


def test_what_a_build_may_be_given(build: Build, programs: Path, said: Path, tmp_path: Path) -> None:
    install(programs, "buildah", BUILDAH.format(said=said, digest=DIGEST))
    ca = tmp_path / "ca.pem"
    ca.touch()
    base = f"localhost/base@sha256:{'b' * 64}"
    more = ("--ca", str(ca), "--package-index", "https://pypi.example.org/simple", "--no-cache", "--verbose")
    code, _, lines = build("--base", base, "--push", "127.0.0.1:5000/console", "--tag", "v1", *more)
    assert code == 0
    words = told(said)
    assert follows(words, "--secret") == [f"id=ca,src={ca}"]
    assert "PACKAGE_INDEX=https://pypi.example.org/simple" in follows(words, "--build-arg")
    assert "--no-cache" in words
    # A loopback registry speaks plain HTTP, for the base as for what is pushed.
    assert words.count("--tls-verify=false") == 2
    assert "Selecting previously unselected package python3." in lines


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--base", "debian:trixie"],
            "'debian:trixie' names no digest, and a tag may be another image tomorrow (add @sha256:…; 'skopeo",
        ),
        (["--base", "UPPER CASE"], "error: --base: 'UPPER CASE' is no image"),
        (["--base", BASE, "--push", "nowhere"], "--push: 'nowhere' is no registry with a repository"),
        (["--base", BASE, "--push", "registry.example.org/x", "--tag", "a b"], "error: --tag: 'a b' is no tag"),
        (["--base", BASE, "--tag", "v1+x"], "error: --tag: 'v1+x' is no tag"),
        (["--base", BASE, "--package-index", "pypi.org"], "error: --package-index: this is no address"),
        ([], "Missing option '--base'"),
        (["--base", BASE, "--target", "windows"], "'windows' is not one of 'trainer', 'console'"),
    ],
    ids=["tag", "no image", "no registry", "bad tag", "bad tag without push", "no index", "no base", "target"],
)
def test_bad_words_are_one_line(words: list[str], line: str, build: Build, programs: Path, said: Path) -> None:
    install(programs, "buildah", BUILDAH.format(said=said, digest=DIGEST))
    code, _, lines = build(*words)
    assert code == ExitCode.USAGE
    assert len(lines) == 1
    assert line in lines[0]
    assert not said.exists()


def test_a_password_of_the_index_never_comes_into_an_image_s_history(build: Build, programs: Path, said: Path) -> None:
    install(programs, "buildah", BUILDAH.format(said=said, digest=DIGEST))
    code, _, lines = build("--base", BASE, "--package-index", "https://robot:tell-nobody@pypi.example.org/simple")
    assert code == ExitCode.USAGE
    assert lines[0].startswith("error: --package-index: a user or password in the address would stand in the image's history")
    assert "tell-nobody" not in lines[0]
    assert not said.exists()


def test_no_checkout(build: Build, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").unlink()
    code, _, lines = build("--base", BASE)
    assert code == ExitCode.NO_INPUT
    assert lines == [
        f"error: {tmp_path}: there is no Dockerfile here (run this in a checkout of the project, or name one: --context DIR)"
    ]


@pytest.mark.parametrize(
    ("docker", "line"),
    [
        (None, "docker is not on PATH, buildah is not on PATH"),
        ({"buildx": 1, "daemon": 0}, "docker has no buildx plugin, buildah is not on PATH"),
        ({"buildx": 0, "daemon": 1}, "docker's daemon does not answer, buildah is not on PATH"),
    ],
    ids=["nothing", "no buildx", "no daemon"],
)
def test_no_builder_found(docker: dict[str, int] | None, line: str, build: Build, programs: Path, said: Path) -> None:
    if docker is not None:
        install(programs, "docker", DOCKER.format(said=said, digest=DIGEST, **docker))
    code, _, lines = build("--base", BASE)
    assert code == ExitCode.UNAVAILABLE
    assert lines == [f"error: no builder found: {line} (install Docker with its buildx plugin, or buildah (apt install buildah))"]


def test_buildah_is_taken_where_docker_cannot(build: Build, programs: Path, said: Path) -> None:
    install(programs, "docker", DOCKER.format(said=said, digest=DIGEST, buildx=1, daemon=0))
    install(programs, "buildah", BUILDAH.format(said=said, digest=DIGEST))
    assert json.loads(build("--base", BASE, "--json")[1])["builder"] == "buildah"
    code, _, lines = build("--base", BASE, "--builder", "docker")
    assert code == ExitCode.UNAVAILABLE
    assert "no builder found: docker has no buildx plugin (" in lines[0]


# What buildah and BuildKit really print.
@pytest.mark.parametrize(
    ("printed", "code", "hint"),
    [
        ("Error: writing blob: write /var/tmp/x: no space left on device", ExitCode.STORAGE, "'buildah prune' removes layers"),
        (
            "W: Failed to fetch http://deb.debian.org/x  Temporary failure resolving 'deb.debian.org'",
            ExitCode.UNAVAILABLE,
            "try again",
        ),
        (
            "Error: initializing source docker://127.0.0.1:1/base: dial tcp: connect: connection refused",
            ExitCode.UNAVAILABLE,
            "try again",
        ),
        ("error: hash mismatch for torch==2.15.0", ExitCode.FAILED, "do not install them"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", ExitCode.FAILED, "do not install them"),
        ("  cause: invalid peer certificate: UnknownIssuer", ExitCode.UNAVAILABLE, "--ca FILE"),
        ("Error: trying to reuse blob: authentication required", ExitCode.FAILED, "buildah login"),
        ("Error: reading manifest sha256:0: manifest unknown", ExitCode.FAILED, "name and digest right"),
        ("E: Unable to locate package tini", ExitCode.FAILED, "the base must be Debian's or Ubuntu's"),
        ("Error: something new", ExitCode.FAILED, "--verbose shows everything"),
    ],
    ids=["disk", "names", "refused", "hash", "pip hash", "certificate", "login", "manifest", "package", "unknown"],
)
def test_why_a_build_failed(printed: str, code: ExitCode, hint: str, build: Build, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "printed").write_text(f"STEP 1/2: RUN x\n{printed}\nexit status 1\n" if "something" not in printed else printed)
    install(
        programs, "buildah", f'#!/bin/sh\nwhile IFS= read -r line; do echo "$line" >&2; done < {tmp_path / "printed"}\nexit 125\n'
    )
    ended, _, lines = build("--base", BASE)
    assert ended == code
    if "something" not in printed:
        assert lines[-1].startswith(f"error: buildah failed: {printed.strip()} (")
    assert hint in lines[-1]


def test_a_long_or_silent_end_is_told_shortly() -> None:
    assert len(str(failure("buildah", ["\x1b[31mError: " + "x" * 5000], "prune"))) < 700
    assert "it said nothing" in str(failure("docker", [], "prune"))


def test_the_revision_is_the_commit_and_says_where_files_differ(tmp_path: Path) -> None:
    assert revision(tmp_path) == "unknown"

    def git(*words: str) -> str:
        settings = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", str(tmp_path), *settings, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")
    commit = git("rev-parse", "HEAD")
    assert revision(tmp_path) == commit
    (tmp_path / "file").write_text("b")
    assert revision(tmp_path) == f"{commit}-dirty"
