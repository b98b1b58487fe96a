from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from lorafleet.contracts.document import Document, parse, validate
from lorafleet.contracts.problems import ConfigError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Part):
    size: int = Field(alias="innerSize")
    kind: Literal["a", "b"] = "a"


class Left(Part):
    type: Literal["left"]
    weight: int


class Right(Part):
    type: Literal["right"]


class Outer(Part):
    name: str
    inner: Inner | None = None
    items: list[Inner] = Field(default_factory=list)
    sides: list[Annotated[Left | Right, Field(discriminator="type")]] = Field(default_factory=list)
    either: bool | Literal["auto"] = "auto"
    some: tuple[int, ...] = Field(default=(1,), min_length=1)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(Outer, parse(text, "f.yaml"))
    return [str(problem) for problem in caught.value.problems]


def test_lines_are_those_of_keys_and_items() -> None:
    document = parse("a: 1\nb:\n  - x\n  - c: 2\n    d: [1,\n      2]\n", "f.yaml")
    assert document.value == {"a": 1, "b": ["x", {"c": 2, "d": [1, 2]}]}
    for path, line in {
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "c"): 4,
        ("b", 1, "d"): 5,
        ("b", 1, "d", 1): 6,
    }.items():
        assert document.where(path) == f"f.yaml:{line}"
    assert document.where(("b", 1, "unknown", "deep")) == "f.yaml:4"
    assert document.where(("unknown",)) == "f.yaml"
    assert parse("a: 1").where(("a",)) == "line 1"


def test_json_is_read_too() -> None:
    document = parse('{"a": {\n "b": [true, null]}}', "f.json")
    assert document.value == {"a": {"b": [True, None]}}
    assert document.where(("a", "b")) == "f.json:2"


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\nb: [1", 2), ("a: 1\n b: 2", 2), ("a: 'x", 1), ("\ta: 1", 1), ("a: !!python/object:os.system x", 1)]
)
def test_what_is_no_yaml_is_one_line_with_its_place(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.what.startswith("this is not YAML: ")
    assert problem.where.startswith("f.yaml:")
    assert int(problem.where.split(":")[1]) >= line
    assert "\n" not in str(problem)


def test_a_key_that_stands_twice_is_refused_at_every_depth() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "f.yaml")
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yaml:4: key 'c' stands twice, first on line 3 (keep one)",
        "f.yaml:5: key 'a' stands twice, first on line 1 (keep one)",
    ]


def test_an_unknown_key_names_its_line_and_the_nearest_right_one() -> None:
    assert problems("name: x\nitmes: []\n") == ["f.yaml:2: unknown key 'itmes' (did you mean 'items'?)"]
    assert problems("name: x\nzzz: 1\n") == [
        "f.yaml:2: unknown key 'zzz' (remove it, or see the list of keys in the documentation)"
    ]


def test_keys_of_parts_are_known_by_their_alias() -> None:
    assert problems("name: x\nitems:\n  - innerSize: 1\n  - {innerSize: 1,\n     inerSize: 2}\n") == [
        "f.yaml:5: unknown key 'items.1.inerSize' (did you mean 'innerSize'?)"
    ]
    assert problems("name: x\ninner: {}\n") == ["f.yaml:2: key 'inner.innerSize' is missing (add it)"]


def test_missing_and_wrong_values() -> None:
    assert problems("items: []\n") == ["f.yaml: key 'name' is missing (add it)"]
    assert problems("name: x\ninner:\n  innerSize: many\n  kind: c\n") == [
        "f.yaml:3: inner.innerSize: input should be a valid integer, unable to parse string as an integer, found 'many'",
        "f.yaml:4: inner.kind: input should be 'a' or 'b', found 'c'",
    ]


def test_the_branches_of_a_union_are_no_part_of_the_place() -> None:
    found = problems("name: x\neither: maybe\n")
    assert found
    assert all(problem.startswith("f.yaml:2: either: ") for problem in found)
    assert problems("name: x\nsides:\n  - type: left\n    weight: heavy\n")[0].startswith("f.yaml:4: sides.0.weight: ")


def test_a_list_of_wrong_items_is_not_called_too_short_too() -> None:
    (problem,) = problems("name: x\nsome: [one]\n")
    assert "some.0" in problem
    (problem,) = problems("name: x\nsome: []\n")
    assert problem.startswith("f.yaml:2: some: ")
    assert "at least 1 item" in problem


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "7"])
def test_a_document_without_keys_is_refused(text: str) -> None:
    (problem,) = problems(text)
    assert "expected keys and values, found" in problem


def test_an_empty_document_lacks_its_keys() -> None:
    assert problems("") == ["f.yaml: key 'name' is missing (add it)"]
    assert problems("# only a comment\n") == ["f.yaml: key 'name' is missing (add it)"]


SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(categories=("L", "N")), max_size=8)
KEYS = st.text(st.characters(codec="ascii", categories=("Ll",)), min_size=1, max_size=6)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_values_are_those_of_safe_load_and_every_one_has_a_line(values: dict[str, object]) -> None:
    text = yaml.safe_dump(values)
    document = parse(text, "f.yaml")
    assert document.value == yaml.safe_load(text)

    def check(document: Document, value: object, path: tuple[str | int, ...]) -> None:
        assert path in document.lines
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            check(document, child, (*path, str(key) if isinstance(value, dict) else key))

    check(document, document.value, ())
