"""Nothing that looks like a credential is kept."""

import pytest

from lorafleet.console.domain.redaction import redacted, redacted_log, redacted_outcome
from lorafleet.contracts.jobs import LogLines, Outcome

SECRETS = [
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "https://store.example/x?X-Amz-Signature=0123456789abcdef",
    "postgresql://user:hunter2@db/x",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_line_with_a_credential_is_taken_out(secret: str) -> None:
    line = f"connecting with {secret} now"
    assert secret not in redacted(line)
    assert "taken out" in redacted(line)
    assert redacted_log(LogLines(job="j", fence=1, first=3, lines=("step 1", line))).lines[0] == "step 1"
    outcome = Outcome.model_validate(
        {
            "job": "j",
            "fence": 1,
            "outcome": "user",
            "exit_code": 65,
            "step": 0,
            "problems": [{"what": line}],
            "log_tail": f"a\n{line}\nb",
        }
    )
    kept = redacted_outcome(outcome)
    assert secret not in kept.model_dump_json()
    assert kept.log_tail.splitlines()[::2] == ["a", "b"]


@pytest.mark.parametrize("line", ["step 10 loss 0.123", "epoch 2: 100%|████| 10/10", "", "the secret of neon is rain"])
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert redacted(line) == line


def test_control_characters_do_not_get_into_the_database() -> None:
    outcome = Outcome.model_validate(
        {
            "job": "j",
            "fence": 1,
            "outcome": "user",
            "exit_code": 65,
            "step": 0,
            "problems": [{"what": "a\0b"}],
            "log_tail": "x\0y\nz\x1b[1m",
        }
    )
    kept = redacted_outcome(outcome)
    assert (kept.problems[0].what, kept.log_tail) == ("a b", "x y\nz [1m")
    assert redacted_log(LogLines(job="j", fence=1, first=0, lines=("\x1b[31mred",))).lines == (" [31mred",)
