"""What a team may call its secrets, and what they may hold."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lorafleet.contracts.team_secrets import LONGEST, NAME_PATTERN, SHORTEST, checked_name, checked_value


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "HF_TOKEN", "CIVITAI_API_TOKEN", "MLFLOW_TRACKING_PASSWORD", "KEY", "A" * 63])
def test_names_that_services_document_are_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "PYTHONSTARTUP", "LORAFLEET_SECRET", "LORAFLEET_TOKEN", "HOME", "IFS",
        "BASH_ENV", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE",
        "TMPDIR", "TORCH_HOME", "GIT_SSH_COMMAND",
    ],
)  # fmt: skip
def test_names_that_decide_how_the_worker_runs_are_refused(name: str) -> None:
    assert re.fullmatch(NAME_PATTERN[1:-1], name)
    with pytest.raises(ValueError, match="no team's to set"):
        checked_name(name)


@pytest.mark.parametrize("name", ["", "AB", "wandb", "1KEY", "_KEY", "A KEY", "KEY=1", "KEY\n", "KÄY", "A" * 64, "A-KEY"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="called like an environment variable"):
        checked_name(name)


@given(st.text(max_size=40))
def test_whatever_is_taken_fits_the_pattern(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    assert re.fullmatch(NAME_PATTERN[1:-1], name)


@pytest.mark.parametrize("value", ["x" * SHORTEST, "x" * LONGEST, "two\nlines\tand a tab", "schlüssel-雨"])
def test_text_is_taken(value: str) -> None:
    assert checked_value(SecretStr(value)).get_secret_value() == value


@pytest.mark.parametrize(
    "value", ["", "sh0rt", "x" * (LONGEST + 1), "null\x00byte", "escape\x1b[0m", " spaces ", "line-end\n", "half\ud800half"]
)
def test_what_no_variable_or_log_can_bear_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ValueError, match="a secret") as caught:
        checked_value(SecretStr(value))
    assert not value.strip() or value not in str(caught.value)
