"""Credentials as Docker, Podman and the clouds' helpers keep them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lorafleet.contracts.problems import ConfigError, NoInputError, UnavailableError
from lorafleet.registry.credentials import Anonymous, Login, read_credentials


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def config(folder: Path, **values: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return path


def test_the_longest_place_that_fits_wins(tmp_path: Path) -> None:
    auths = {"r.example": auth("all", "1"), "r.example/team": auth("team", "2"), "https://s.example/": auth("s", "3")}
    found = read_credentials(config(tmp_path, auths=auths))
    assert found.login("r.example", "team/trainer") == Login("team", "2")
    assert found.login("r.example", "teams") == Login("all", "1")
    assert found.login("s.example", "x") == Login("s", "3")
    assert found.login("t.example", "x") is None


def test_docker_hub_and_identity_tokens(tmp_path: Path) -> None:
    auths = {"https://index.docker.io/v1/": auth("hub", "p"), "x.azurecr.io": {**auth("0", ""), "identitytoken": "long token"}}
    found = read_credentials(config(tmp_path, auths=auths))
    assert found.login("docker.io", "library/debian") == Login("hub", "p")
    assert found.login("x.azurecr.io", "y") == Login("0", "", "long token")


def test_a_login_shows_no_secret() -> None:
    assert "secret" not in repr(Login("user", "secret", "secret"))
    assert Login("user", "pass:word").basic == "Basic " + base64.b64encode(b"user:pass:word").decode()


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_helpers_are_asked_on_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(
        tmp_path,
        "cloud",
        f'read server; echo "$1 $server" >> {tmp_path}/asked; echo \'{{"Username":"AWS","Secret":"s"}}\'',
        monkeypatch,
    )
    helper(tmp_path, "store", 'echo \'{"Username":"<token>","Secret":"t"}\'', monkeypatch)
    path = config(
        tmp_path,
        auths={"kept.example": auth("k", "p"), "empty.example": {}},
        credHelpers={"a.example": "cloud"},
        credsStore="store",
    )
    found = read_credentials(path)
    assert found.login("a.example", "x") == Login("AWS", "s")
    assert (tmp_path / "asked").read_text() == "get a.example\n"
    assert found.login("empty.example", "x") == Login("<token>", identity_token="t")
    assert found.login("kept.example", "x") == Login("k", "p")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "code 3"),
        ("echo no json", "JSONDecodeError"),
        ("echo '[]'", "TypeError"),
        ('echo \'{"Username":"u"}\'', "KeyError"),
    ],
    ids=["fails", "no JSON", "a list", "no secret"],
)
def test_a_helper_that_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str) -> None:
    helper(tmp_path, "bad", f"echo a-secret >&2; {script}", monkeypatch)
    with pytest.raises(UnavailableError, match=r"docker-credential-bad gave no credentials for r\.example") as caught:
        read_credentials(config(tmp_path, credHelpers={"r.example": "bad"})).login("r.example", "x")
    assert said in str(caught.value)
    assert "a-secret" not in str(caught.value)


def test_a_helper_that_knows_nobody_means_anonymous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "none", "echo credentials not found in native keychain; exit 1", monkeypatch)
    assert read_credentials(config(tmp_path, credsStore="none")).login("r.example", "x") is None


def test_a_helper_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="docker-credential-nowhere, which is not on PATH"):
        read_credentials(config(tmp_path, credHelpers={"r.example": "nowhere"})).login("r.example", "x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"auths": 3}',
        '{"auths": {"r": {"auth": "tell-nobody"}}}',
        '{"credsStore": "../../bin/tell-nobody"}',
        '{"auths": {"r": "x"}}',
    ],
)
def test_other_files_are_refused_without_a_word_of_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no Docker configuration") as caught:
        read_credentials(path)
    assert "tell-nobody" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"none\.json: cannot be read: No such file"):
        read_credentials(tmp_path / "none.json")


def test_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert isinstance(read_credentials(), Anonymous)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "default"}')
    assert isinstance(read_credentials(), Anonymous)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    # What the last docker logout leaves is in nobody's way.
    (tmp_path / ".docker" / "config.json").write_text('{"auths": {}}')
    places = {"run/containers/auth.json": "podman", ".docker/config.json": "docker", "named.json": "named"}
    for place, user in places.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(json.dumps({"auths": {"r.example": auth(user, "p")}}))
        if user == "named":
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / place))
        assert read_credentials().login("r.example", "x") == Login(user, "p")
