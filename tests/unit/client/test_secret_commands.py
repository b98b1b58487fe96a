"""``lorafleet secret``: the value comes from a file or standard input, and is never shown."""

import io
import json
from pathlib import Path

import pytest

from lorafleet.cli import main
from lorafleet.console.domain.records import Role
from tests.unit.console.api.running_console import RunningConsole

VALUE = "correct-horse-battery"


@pytest.fixture
def admin(console: RunningConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _, text = console.ledger.access.create_token("red", "command", Role.ADMIN, "test")
    (tmp_path / "token").write_text(text)
    monkeypatch.setenv("LORAFLEET_CONSOLE", console.url)
    monkeypatch.setenv("LORAFLEET_TOKEN_FILE", str(tmp_path / "token"))
    return tmp_path


def kept(console: RunningConsole) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in console.services.secrets.opened("red").values.items()}


def test_set_from_standard_input_or_a_file_list_and_remove(
    console: RunningConsole, admin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{VALUE}\n"))
    assert main(["secret", "set", "WANDB_API_KEY"]) == 0
    (admin / "hf").write_text("hf_from_a_file\r\n")
    assert main(["secret", "set", "HF_TOKEN", "--from-file", str(admin / "hf"), "--json"]) == 0
    assert kept(console) == {"WANDB_API_KEY": VALUE, "HF_TOKEN": "hf_from_a_file"}
    assert main(["secret", "list"]) == 0
    assert main(["secret", "list", "--json"]) == 0
    shown = capsys.readouterr()
    assert VALUE not in shown.out + shown.err
    assert "hf_from_a_file" not in shown.out + shown.err
    assert [json.loads(line)["name"] for line in shown.out.splitlines()[-2:]] == ["HF_TOKEN", "WANDB_API_KEY"]
    assert main(["secret", "remove", "HF_TOKEN"]) == 0
    assert list(kept(console)) == ["WANDB_API_KEY"]
    assert main(["secret", "remove", "HF_TOKEN"]) == 1
    assert "there is no secret HF_TOKEN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "given", "word"),
    [
        (["LD_PRELOAD"], VALUE, "no team's to set"),
        (["wandb"], VALUE, "called like an environment variable"),
        (["HF_TOKEN"], "sh0rt", "8 to 4096 characters"),
        (["HF_TOKEN"], "", "8 to 4096 characters"),
        (["HF_TOKEN"], "escape-\x1b-here", "control character"),
        (["HF_TOKEN", "--from-file", "/nowhere"], VALUE, "cannot be read"),
        (["HF_TOKEN", VALUE], VALUE, "unexpected extra argument"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_without_the_value(
    console: RunningConsole,
    admin: Path,
    arguments: list[str],
    given: str,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = kept(console)
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert main(["secret", "set", *arguments]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line
    assert not given or given not in line.replace(VALUE, "") or len(arguments) > 1
    assert kept(console) == before


def test_a_file_that_is_no_text_is_refused(admin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (admin / "binary").write_bytes(b"\xff\xfe\x00\x01secret-bytes")
    assert main(["secret", "set", "HF_TOKEN", "--from-file", str(admin / "binary")]) != 0
    assert "not UTF-8 text" in capsys.readouterr().err
