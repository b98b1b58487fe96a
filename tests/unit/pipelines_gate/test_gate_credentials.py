from pathlib import Path

import pytest

from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.credentials import Kind, read_credentials
from pipelines.gate.webhook_secret import read_webhook_secret
from pipelines.secret_sources import secret


@pytest.mark.parametrize(
    ("environment", "kind", "headers"),
    [
        ({}, Kind.NONE, {}),
        ({"LORAFLEET_GATE_TOKEN": ""}, Kind.NONE, {}),
        ({"LORAFLEET_GATE_TOKEN": "spk_1"}, Kind.TOKEN, {"X-Spinnaker-Token": "spk_1"}),
        ({"LORAFLEET_GATE_BEARER": " b1\n"}, Kind.BEARER, {"Authorization": "Bearer b1"}),
        # Aladdin's example of RFC 7617.
        (
            {"LORAFLEET_GATE_USER": "Aladdin", "LORAFLEET_GATE_PASSWORD": "open sesame"},
            Kind.BASIC,
            {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        ),
    ],
)
def test_each_kind_is_read(environment: dict[str, str], kind: Kind, headers: dict[str, str]) -> None:
    found = read_credentials(environment)
    assert (found.kind, dict(found.headers)) == (kind, headers)


def test_files_are_read_and_certificates_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("spk_from_file\n")
    assert read_credentials({"LORAFLEET_GATE_TOKEN_FILE": str(tmp_path / "token")}).headers == {
        "X-Spinnaker-Token": "spk_from_file"
    }
    found = read_credentials({"LORAFLEET_GATE_CERT": str(tmp_path / "token"), "LORAFLEET_GATE_KEY": str(tmp_path / "token")})
    assert found.certificate == (str(tmp_path / "token"),) * 2


def test_no_credential_is_in_a_repr() -> None:
    found = read_credentials({"LORAFLEET_GATE_USER": "ci", "LORAFLEET_GATE_PASSWORD": "hunter2"})
    assert repr(found) == "Credentials(kind=<Kind.BASIC: 'basic'>)"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {"LORAFLEET_GATE_TOKEN": "s3cr3t", "LORAFLEET_GATE_BEARER": "s3cr3t"},
            "two kinds are set for Gate: LORAFLEET_GATE_BEARER and LORAFLEET_GATE_TOKEN",
        ),
        ({"LORAFLEET_GATE_USER": "ci"}, "needs a password too"),
        ({"LORAFLEET_GATE_PASSWORD": "s3cr3t"}, "set both LORAFLEET_GATE_USER and"),
        ({"LORAFLEET_GATE_USER": "a:b", "LORAFLEET_GATE_PASSWORD": "s3cr3t"}, "has a colon"),
        ({"LORAFLEET_GATE_CERT": __file__}, "needs its key too"),
        ({"LORAFLEET_GATE_CERT": "/nowhere/cert.pem"}, "/nowhere/cert.pem: the file that LORAFLEET_GATE_CERT names cannot be read"),
        ({"LORAFLEET_GATE_TOKEN_FILE": "/nowhere/token"}, "LORAFLEET_GATE_TOKEN_FILE names cannot be read: No such file"),
        ({"LORAFLEET_GATE_TOKEN": "s3cr3t\r\nX-Evil: 1"}, "letters that no HTTP header carries"),
        ({"LORAFLEET_GATE_TOKEN": "s3cr3t", "LORAFLEET_GATE_TOKEN_FILE": __file__}, "are both set"),
        ({"LORAFLEET_GATE_TOKEN": "  "}, "LORAFLEET_GATE_TOKEN holds nothing"),
    ],
)
def test_what_is_wrong_is_one_line_without_the_secret(environment: dict[str, str], words: str) -> None:
    with pytest.raises(LorafleetError) as raised:
        read_credentials(environment)
    assert words in str(raised.value)
    assert "s3cr3t" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", ["short", "x" * 40 + ".*", "x" * 40 + "|", "a" * 20 + "\x00"])
def test_a_webhook_secret_that_echo_would_read_otherwise_is_refused(bad: str) -> None:
    with pytest.raises(LorafleetError, match="LORAFLEET_WEBHOOK_SECRET holds") as raised:
        read_webhook_secret({"LORAFLEET_WEBHOOK_SECRET": bad})
    assert bad not in str(raised.value)


def test_a_good_webhook_secret_is_taken() -> None:
    assert read_webhook_secret({"LORAFLEET_WEBHOOK_SECRET": "f" * 64}) == "f" * 64
    assert read_webhook_secret({}) is None


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LorafleetError, match="it is no text"):
        secret("X", {"X_FILE": str(tmp_path / "key")})
