"""Reading YAML or JSON so that an error can name the line, the key and the nearest right key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from lorafleet.contracts.problems import ConfigError, Problem

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A parsed document: plain values, and the 1-based line on which each key or item stands."""

    value: Any
    source: str = ""
    lines: Mapping[Path, int] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """``file:line`` of the nearest enclosing place that is known; only the file where none is."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return _place(self.source, self.lines[path[:length]])
        return self.source


def parse(text: str, source: str = "") -> Document:
    """Parse YAML or JSON with safe types only.

    Raises:
        ConfigError: the text is neither, or a mapping names a key twice or one that is not text.
    """
    is_json, value = _json(text)
    try:
        # YAML refuses the tabs that JSON may be indented with; inside a string JSON has none.
        loader = _Loader(text.replace("\t", " ") if is_json else text)
        node = loader.get_single_node()
        places = _Places(source)
        if node is not None:
            places.walk(node, ())
        if places.problems:
            raise ConfigError(places.problems)
        if node is not None and not is_json:
            value = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = _place(source, mark.line + 1) if mark else source
        reason = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise ConfigError(f"this is not YAML: {reason}", where=where, hint="check the indentation and the quotes") from None
    except RecursionError:
        raise ConfigError("this is nested too deeply", where=source, hint="a few levels are enough") from None
    return Document(value, source, places.lines)


def _json(text: str) -> tuple[bool, Any]:
    # YAML would read some JSON otherwise: 1e5 as text, and the two halves of an escaped emoji as two broken letters.
    if not text.lstrip().startswith(("{", "[")):
        return False, None
    try:
        return True, json.loads(text)
    except (ValueError, RecursionError):
        return False, None


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            # Such as 2024-13-45, which looks like a date.
            raise yaml.constructor.ConstructorError(None, None, f"a value is wrong: {error}", node.start_mark) from None


@dataclass
class _Places:
    """Where keys and items stand. What an alias repeats keeps the place of its first use, so that aliases never multiply."""

    source: str
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def walk(self, node: yaml.Node, path: Path) -> None:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self.seen:
            return
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                self.walk(child, self._key(key, path))
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.walk(child, (*path, index))

    def _key(self, key: yaml.Node, path: Path) -> Path:
        line = key.start_mark.line + 1
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else "…"
        here = (*path, name)
        if key.tag not in _TEXT_TAGS:
            self.problems.append(Problem(f"key {name} is not text", _place(self.source, line), "put it in quotes"))
        elif here in self.lines:
            what = f"key '{name}' stands twice, first on line {self.lines[here]}"
            self.problems.append(Problem(what, _place(self.source, line), "keep one"))
        self.lines[here] = line
        return here


# The second is the key << which merges another mapping.
_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


def _place(source: str, line: int) -> str:
    return f"{source}:{line}" if source else f"line {line}"


def validate(model: type[Model], document: Document) -> Model:
    """Turn a document into a model.

    Raises:
        ConfigError: with a problem for each wrong key, in the order of the document.
    """
    if document.value is None:
        document = replace(document, value={})
    if not isinstance(document.value, Mapping):
        raise ConfigError(
            f"expected keys and values, found {type(document.value).__name__}",
            where=document.source,
            hint="write 'key: value' lines",
        )
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise ConfigError(explain(model, document, error)) from None


def wrong_at(path: Path, message: str) -> PydanticCustomError:
    """What a validator raises where a value below its own, at the relative ``path``, is wrong."""
    return PydanticCustomError("wrong_at", "{message}", {"message": message, "at": path})


def explain(model: type[BaseModel], document: Document, error: ValidationError) -> list[Problem]:
    """One problem for each of pydantic's errors, with the line and, for an unknown key, the nearest right one."""
    problems = []
    for detail in error.errors():
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            # pydantic counts only the items that are right; each wrong one has an error of its own.
            continue
        path = _document_path(document, (*detail["loc"], *detail.get("ctx", {}).get("at", ())))
        key = ".".join(str(part) for part in path) or "document"
        if detail["type"] == "extra_forbidden":
            known = _sibling_keys(model, path)
            near = get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else "remove it, or see the list of keys in the documentation"
            problems.append(Problem(f"unknown key '{key}'", document.where(path), hint))
        elif detail["type"] == "missing":
            problems.append(Problem(f"key '{key}' is missing", document.where(path[:-1]), "add it"))
        else:
            words = _IN_WORDS.get(detail["type"])
            message = words.format_map(detail.get("ctx", {})) if words else detail["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            given = detail.get("input")
            shown = f", found {given!r}" if isinstance(given, str | int | float | bool) and detail["type"] != "value_error" else ""
            problems.append(Problem(f"{key}: {message}{shown}" if path else message, document.where(path)))
    return list(dict.fromkeys(problems))


# pydantic's own words here are those of Python.
_IN_WORDS = {
    "model_type": "keys and values are needed",
    "dict_type": "keys and values are needed",
    "list_type": "a list is needed",
    "tuple_type": "a list is needed",
    "union_tag_not_found": "key {discriminator} is missing",
}


def _document_path(document: Document, location: Sequence[str | int]) -> Path:
    # pydantic mixes names of union branches into a location; only parts that lead somewhere in the value are kept.
    path: list[str | int] = []
    value = document.value
    for part in location:
        if isinstance(value, Mapping):
            if part in value:
                value = value[part]
            elif part != location[-1]:
                continue
            path.append(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
            path.append(part)
    return tuple(path)


def _sibling_keys(model: type[BaseModel], path: Path) -> list[str]:
    current: Any = model
    for part in path[:-1]:
        if isinstance(part, int):
            continue
        field_info = _field(current, str(part))
        current = _model_in(field_info.annotation) if field_info is not None else None
        if current is None:
            return []
    return [info.alias or name for name, info in current.model_fields.items()]


def _field(model: type[BaseModel], key: str) -> Any:
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return info
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
