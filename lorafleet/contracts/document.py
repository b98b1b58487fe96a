"""Reading YAML or JSON so that an error can name the line, the key and the nearest right key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

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
                return f"{self.source}:{self.lines[path[:length]]}" if self.source else f"line {self.lines[path[:length]]}"
        return self.source


def parse(text: str, source: str = "") -> Document:
    """Parse YAML (of which JSON is a subset) with safe types only.

    Raises:
        ConfigError: the text is no YAML, or a mapping names a key twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        reason = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"this is not YAML: {reason}", where=where, hint="check the indentation and the quotes") from None
    lines: dict[Path, int] = {}
    repeated: list[Problem] = []
    if node is not None:
        _walk(node, (), source, lines, repeated)
    if repeated:
        raise ConfigError(repeated)
    return Document(value, source, lines)


def _walk(node: yaml.Node, path: Path, source: str, lines: dict[Path, int], repeated: list[Problem]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            here = (*path, str(key.value))
            if here in lines:
                line = key.start_mark.line + 1
                repeated.append(
                    Problem(f"key '{key.value}' stands twice, first on line {lines[here]}", f"{source}:{line}", "keep one")
                )
            lines[here] = key.start_mark.line + 1
            _walk(child, here, source, lines, repeated)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _walk(child, (*path, index), source, lines, repeated)


def validate(model: type[Model], document: Document) -> Model:
    """Turn a document into a model.

    Raises:
        ConfigError: with a problem for each wrong key, in the order of the document.
    """
    value = {} if document.value is None else document.value
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"expected keys and values, found {type(value).__name__}", where=document.source, hint="write 'key: value' lines"
        )
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(explain(model, document, error)) from None


def explain(model: type[BaseModel], document: Document, error: ValidationError) -> list[Problem]:
    """One problem for each of pydantic's errors, with the line and, for an unknown key, the nearest right one."""
    problems = []
    for detail in error.errors():
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            # pydantic counts only the items that are right; each wrong one has an error of its own.
            continue
        path = _document_path(document, detail["loc"])
        key = ".".join(str(part) for part in path) or "document"
        if detail["type"] == "extra_forbidden":
            known = _sibling_keys(model, path)
            near = get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else "remove it, or see the list of keys in the documentation"
            problems.append(Problem(f"unknown key '{key}'", document.where(path), hint))
        elif detail["type"] == "missing":
            problems.append(Problem(f"key '{key}' is missing", document.where(path[:-1]), "add it"))
        else:
            message = detail["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            given = detail.get("input")
            shown = f", found {given!r}" if isinstance(given, str | int | float | bool) and detail["type"] != "value_error" else ""
            problems.append(Problem(f"{key}: {message}{shown}" if path else message, document.where(path)))
    return list(dict.fromkeys(problems))


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
