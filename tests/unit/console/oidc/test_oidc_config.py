"""The file of ``--oidc``."""

import json
from pathlib import Path
from typing import Any

import pytest

from lorafleet.cli import main
from lorafleet.console.domain.membership import Membership, Rule
from lorafleet.console.domain.records import Role
from lorafleet.console.oidc.config import read_oidc
from lorafleet.console.settings import Auth, Settings, refuse_unsafe
from lorafleet.contracts.problems import ConfigError, NoInputError

YAML = """\
issuer: https://login.example.org/realms/fleet
client_id: lorafleet
client_secret_file: client-secret
name: Example
groups_claim: realm_access.roles
roles:
  - {group: fleet-admins, team: default, role: admin}
  - {group: artists, team: red, role: trainer}
"""
GOOD: dict[str, Any] = {
    "issuer": "http://127.0.0.1:1/", "client_id": "lorafleet", "roles": [{"group": "g", "team": "default", "role": "viewer"}],
}  # fmt: skip


def written(folder: Path, text: str) -> Path:
    (folder / "client-secret").write_text("s3cr3t-of-the-client\n")
    (folder / "oidc.yaml").write_text(text)
    return folder / "oidc.yaml"


def test_a_whole_file_with_its_secret_beside_it(tmp_path: Path) -> None:
    config = read_oidc(written(tmp_path, YAML))
    assert (config.issuer, config.client_id, config.name) == ("https://login.example.org/realms/fleet", "lorafleet", "Example")
    assert config.client_secret is not None
    assert config.client_secret.get_secret_value() == "s3cr3t-of-the-client"
    assert config.rules == (
        Rule("fleet-admins", Membership("default", Role.ADMIN)),
        Rule("artists", Membership("red", Role.TRAINER)),
    )
    assert config.end_with_id_token
    assert "s3cr3t" not in repr(config)


def test_a_public_client_in_json_has_no_secret(tmp_path: Path) -> None:
    config = read_oidc(written(tmp_path, json.dumps(GOOD)))
    assert (config.client_secret, config.groups_claim, config.scopes) == (None, "groups", ("openid", "profile", "email"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"issuer": "http://login.example.org"}, "begins with https://"),
        ({"issuer": "https://"}, "a host"),
        ({"issuer": "https://user:pw@login.example.org"}, "a host"),
        ({"issuer": "ftp://login.example.org"}, "begins with https://"),
        ({"client_secret": "s3cr3t-of-the-client"}, "unknown key 'client_secret'"),
        ({"roles": []}, "roles"),
        ({"roles": [{"group": "g", "team": "Red Team", "role": "viewer"}]}, "roles.0.team"),
        ({"roles": [{"group": "g", "team": "red", "role": "owner"}]}, "roles.0.role"),
        ({"scopes": ["email"]}, "openid"),
        ({"client_secret_file": "empty"}, "is empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(ConfigError) as caught:
        read_oidc(written(tmp_path, json.dumps({**GOOD, **change})))
    assert word in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="nowhere"):
        read_oidc(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="client's secret"):
        read_oidc(written(tmp_path, json.dumps({**GOOD, "client_secret_file": "nowhere"})))


def test_serve_refuses_a_wrong_file_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, YAML.replace("issuer: https", "issuer: http"))
    assert main(["serve", "--dir", str(tmp_path / "console"), "--port", "0", "--oidc", str(file)]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file}:1: issuer: ")


def test_a_provider_beside_no_authentication_is_refused(tmp_path: Path) -> None:
    config = read_oidc(written(tmp_path, json.dumps(GOOD)))
    settings = Settings(database_url="sqlite://", secret="s1" * 20, directory=tmp_path, auth=Auth.NONE, oidc=config)
    with pytest.raises(ConfigError, match="everybody is the administrator"):
        refuse_unsafe(settings)
