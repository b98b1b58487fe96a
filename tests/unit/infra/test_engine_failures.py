"""What the engine says, in one line each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.engine.failures import explain, plain
from lorafleet.contracts.outcomes import ExitCode

STACK = "aws-eu-central-1"


@pytest.mark.parametrize(
    ("said", "line", "code"),
    [
        ("error: the stack is currently locked by 1 lock(s).", "another run holds the stack's lock", 69),
        ("error: [409] Conflict: Another update is currently in progress.", "another run holds the stack's lock", 69),
        ("error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "under a passphrase, and none is set", 78),
        ("error: incorrect passphrase", "is not the one that the stack's secrets are under", 78),
        ("error: PULUMI_ACCESS_TOKEN must be set for login", "logged in to no backend", 69),
        ("error: no stack named 'x' found", "the backend has no stack x", 69),
        ('error: read ".pulumi/meta.yaml": blob (code=Unknown)', "backend of Pulumi's states does not answer", 69),
        ("No valid credential sources found", "AWS takes no credentials", 69),
        ("google: could not find default credentials", "Google takes no credentials", 69),
        ("Please run 'az login' to setup account", "Azure takes no credentials", 69),
        ("getting credentials: exec: executable kubelogin not found", "the command 'kubelogin'", 69),
        ("configured Kubernetes cluster is unreachable: no such host", "the cluster's API does not answer", 69),
        ("no resource plugin 'aws-v7.51.1' found in the workspace", "plugin aws-v7.51.1", 69),
    ],
)
def test_what_is_known_is_one_line_with_a_way_to_mend_it(said: str, line: str, code: int) -> None:
    error = explain(STACK, said, ())
    assert error.exit_code == code
    [problem] = error.problems
    assert line in problem.what
    assert problem.hint
    assert problem.where == STACK
    assert "{" not in str(problem)


def test_what_a_provider_says_is_known_too() -> None:
    assert explain(STACK, "", ["cluster: no valid credential sources for AWS"]).exit_code is ExitCode.UNAVAILABLE


def test_what_is_not_known_is_told_in_its_own_words_once() -> None:
    error = explain(STACK, "", ["role: AccessDenied: not you\nmore", "role: AccessDenied: not you\nmore", "update failed"])
    assert [problem.what for problem in error.problems] == ["role: AccessDenied: not you"]
    assert error.exit_code is ExitCode.FAILED


def test_the_commands_own_error_is_taken_where_the_engine_told_nothing() -> None:
    assert explain(STACK, "code: 255\nerror: something new", ()).problems[0].what == "something new"
    assert "did not say why" in explain(STACK, "", ()).problems[0].what


@given(st.text(), st.lists(st.text(), max_size=4))
def test_whatever_is_said_becomes_an_error(said: str, diagnostics: list[str]) -> None:
    error = explain(STACK, said, diagnostics)
    assert len(error.problems) == 1
    assert error.problems[0].where == STACK


def test_colours_are_taken_out() -> None:
    assert plain("<{%fg 1%}>error: <{%reset%}>no \x1b[31mway\x1b[0m\n") == "error: no way"
