"""Text that the parsers of YAML and JSON read in a way that surprises, or fail on with an error that is not theirs."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.document import parse
from lorafleet.contracts.problems import ConfigError


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    (problem,) = caught.value.problems
    assert "\n" not in str(problem)
    return str(problem)


@pytest.mark.parametrize("value", ["2024-13-45", "0b_", "2024-01-01 25:00:00"])
def test_a_value_that_only_looks_like_a_date_or_number_is_named_with_its_line(value: str) -> None:
    with pytest.raises(ValueError, match=r"must be in|invalid literal"):
        yaml.safe_load(f"a: {value}")
    assert refused(f"a: 1\nb:\n  - {value}\n").startswith("f.yaml:3: this is not YAML: a value is wrong: ")
    assert parse(f"a: '{value}'").value == {"a": value}


@pytest.mark.parametrize("text", ["[" * 5000, "[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_endless_nesting_is_one_line(text: str) -> None:
    assert refused(text) == "f.yaml: this is nested too deeply (a few levels are enough)"


def test_characters_that_no_text_file_has_are_one_line() -> None:
    assert refused("a: \x00").startswith("f.yaml: this is not YAML: unacceptable character #x0000")


@pytest.mark.parametrize("key", ["on", "yes", "7", "0.5", "null", "2024-01-01"])
def test_a_key_that_yaml_takes_for_something_else_is_named_with_its_line(key: str) -> None:
    assert refused(f"a: 1\n{key}: 2\n") == f"f.yaml:2: key {key} is not text (put it in quotes)"
    assert parse(f"a: 1\n'{key}': 2\n").value == {"a": 1, key: 2}


def test_a_list_is_no_key() -> None:
    assert refused("? [a]\n: 2\n").startswith("f.yaml:1: key … is not text")


def test_aliases_work_and_never_multiply() -> None:
    document = parse("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: 2\n", "f.yaml")
    assert document.value == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    assert document.where(("b", "x")) == "f.yaml:2"
    assert document.where(("c", "x")) == "f.yaml:3"
    nines = "a: &a [x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert len(parse(nines).lines) < 200


def test_an_alias_inside_itself_ends() -> None:
    document = parse("a: &a [*a]\n", "f.yaml")
    assert document.value["a"][0] is document.value["a"]


def test_without_a_source_places_are_lines() -> None:
    for text in ("a: 1\na: 2\n", "a: 1\n- b\n", "a: 1\non: 2\n"):
        with pytest.raises(ConfigError, match=r"^line 2: "):
            parse(text)


LETTERS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"), exclude_characters="\ufeff"), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | LETTERS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3), max_leaves=10
)


@given(st.dictionaries(LETTERS, VALUES, max_size=3), st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_all_json_is_read_as_json(values: dict[str, object], ascii_only: bool, indent: int | str | None) -> None:
    assert parse(json.dumps(values, ensure_ascii=ascii_only, indent=indent)).value == values


def test_json_has_lines_too() -> None:
    assert parse('{\n\t"rate": 1e5,\n\t"face": "\\ud83d\\ude00"\n}', "f.json").value == {"rate": 1e5, "face": "😀"}
    assert parse('{\n\t"rate": 1e5,\n\t"face": 1\n}', "f.json").where(("face",)) == "f.json:3"
    with pytest.raises(ConfigError, match=r"f.json:3: key 'a' stands twice, first on line 2"):
        parse('{\n\t"a": 1,\n\t"a": 2}', "f.json")
