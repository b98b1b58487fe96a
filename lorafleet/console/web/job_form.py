"""The form of a new job: its fields from the training schema, and what a filled one asks for. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from lorafleet.console.domain.requests import checked_training
from lorafleet.console.web.config_text import as_value
from lorafleet.console.web.language import Language
from lorafleet.console.web.presets import Goal, Preset
from lorafleet.contracts.console_api import NOT_SETTABLE, NewJob
from lorafleet.contracts.document import parse
from lorafleet.contracts.problems import ConfigError, Problem
from lorafleet.contracts.training import GROUPS, TrainingConfig

PREFIX = "training."
ESSENTIAL = ("base_model", "trigger_word", "epochs", "sample_prompts")
_IMAGE_ONLY = frozenset({"trigger_word"})
_SCHEMA: Mapping[str, Any] = TrainingConfig.model_json_schema()["properties"]


@dataclass(frozen=True)
class Filled:
    """What a person has filled in, as text. ``training`` has a text by key; an empty one leaves the default."""

    goal: Goal
    preset: str
    name: str
    dataset: str
    gpus: str
    memory_gib: str
    priority: str
    training: Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """What a filled form asks for; ``request`` is None where something is wrong. ``problems`` are by the field's name."""

    request: NewJob | None
    config: TrainingConfig | None
    problems: Mapping[str, Problem] = field(default_factory=dict)


@dataclass(frozen=True)
class Field:
    """One key of the training configuration as an input. ``kind``: text, lines, number, choice or mapping; ``label`` may be empty."""

    key: str
    name: str
    label: str
    kind: str
    value: str
    default: str
    choices: tuple[str, ...]
    explanation: str


@dataclass(frozen=True)
class Group:
    """Keys that belong together."""

    name: str
    fields: tuple[Field, ...]


def filled_from(form: Mapping[str, str], preset: Preset | None) -> Filled:
    """What a form holds; keys that it lacks are the preset's."""
    goal = preset.goal if preset else Goal.STYLE
    training = {key: text_of(value) for key, value in preset.training.items()} if preset else {}
    training |= {name.removeprefix(PREFIX): value for name, value in form.items() if name.startswith(PREFIX)}
    return Filled(
        goal=goal,
        preset=preset.id if preset else "",
        name=form.get("name", ""),
        dataset=form.get("dataset", ""),
        gpus=form.get("gpus", str(preset.gpus if preset else 0)),
        memory_gib=form.get("memory_gib", str(preset.memory_gib if preset else 0)),
        priority=form.get("priority", "0"),
        training={key: value for key, value in training.items() if key in _SCHEMA and key not in NOT_SETTABLE},
    )


def asked(form: Filled) -> Asked:
    """Read a filled form."""
    problems: dict[str, Problem] = {}
    training: dict[str, Any] = {}
    for key, text in form.training.items():
        if not text.strip():
            continue
        try:
            training[key] = value_of(key, text)
        except ConfigError as error:
            problems[PREFIX + key] = error.problems[0]
    numbers = {
        name: _whole(text, name, problems)
        for name, text in (("gpus", form.gpus), ("memory_gib", form.memory_gib), ("priority", form.priority))
    }
    config = None
    try:
        config = checked_training(training)
    except ConfigError as error:
        for problem in error.problems:
            problems.setdefault(_field_of(problem), problem)
    if not form.dataset:
        problems["dataset"] = Problem("choose a data set")
    if problems or config is None:
        return Asked(None, config, problems)
    try:
        request = NewJob(
            name=form.name or form.dataset,
            dataset=form.dataset,
            training=training,
            gpus=numbers["gpus"],
            # A card of this size reports up to a tenth less.
            min_memory_mib=int(numbers["memory_gib"] * 1024 * 0.9),
            priority=numbers["priority"],
        )
    except ValidationError as error:
        found = {str(line["loc"][0]).replace("min_memory_mib", "memory_gib"): Problem(str(line["msg"])) for line in error.errors()}
        return Asked(None, config, found)
    return Asked(request, config)


def groups(words: Language, form: Filled) -> tuple[Group, ...]:
    """Every key that a person may set and that has no place of its own above, by group."""
    return tuple(
        Group(name, tuple(field_of(words, key, form.training) for key in _keys(group) if key not in ESSENTIAL))
        for group, name in zip(GROUPS, _group_names(words), strict=True)
        if any(key not in ESSENTIAL for key in _keys(group))
    )


def essential(words: Language, form: Filled) -> tuple[Field, ...]:
    """The few keys that everybody sets."""
    labels = (words.gettext("Base model"), words.gettext("Trigger word"), words.gettext("Epochs"), words.gettext("Sample prompts"))
    return tuple(
        field_of(words, key, form.training, label)
        for key, label in zip(ESSENTIAL, labels, strict=True)
        if not (form.goal is Goal.TEXT and key in _IMAGE_ONLY)
    )


def field_of(words: Language, key: str, values: Mapping[str, str], label: str = "") -> Field:
    """A key as an input."""
    info = TrainingConfig.model_fields[key]
    default = "" if info.is_required() else text_of(info.get_default(call_default_factory=True))
    kind, choices = _kind(_SCHEMA[key])
    return Field(key, PREFIX + key, label, kind, values.get(key, ""), default, choices, words.gettext(info.description or key))


def value_of(key: str, text: str) -> Any:
    """An input's text as the key's value.

    Raises:
        ConfigError: it is not YAML where that is asked for.
    """
    kind, _ = _kind(_SCHEMA[key])
    if kind == "lines":
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[0] if key == "lora_targets" and len(lines) == 1 else lines
    if kind == "text":
        return text.strip()
    return parse(text.strip(), key).value


def text_of(value: Any) -> str:
    """A value as an input's text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    if isinstance(value, dict):
        return as_value(value) if value else ""
    return str(value)


def _keys(group: str) -> Iterable[str]:
    for key, info in TrainingConfig.model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get("group") == group and key not in NOT_SETTABLE:
            yield key


def _kind(schema: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != "null"]
    types = {branch.get("type") for branch in branches}
    choices: Sequence[str] = [
        str(value) for branch in branches for value in branch.get("enum", [branch["const"]] if "const" in branch else [])
    ]
    if "array" in types:
        return "lines", ()
    if "boolean" in types:
        return "choice", ("true", "false", *choices)
    if choices:
        return "choice", tuple(choices)
    if types & {"integer", "number"}:
        return "number", ()
    return ("mapping", ()) if "object" in types else ("text", ())


def _whole(text: str, name: str, problems: dict[str, Problem]) -> int:
    try:
        return int(text.strip() or 0)
    except ValueError:
        problems[name] = Problem("write a whole number")
        return 0


def _field_of(problem: Problem) -> str:
    """The input that a problem is about: its key leads the sentence, stands in it in quotes, or is its place; empty for none."""
    for text in (problem.what, problem.where.removeprefix(PREFIX)):
        if (found := re.match(r"(?:key ')?([a-z_0-9]+)", text)) and found[1] in _SCHEMA:
            return PREFIX + found[1]
    return ""


def _group_names(words: Language) -> tuple[str, ...]:
    return (
        words.gettext("Data"),
        words.gettext("Model"),
        words.gettext("LoRA"),
        words.gettext("Optimization"),
        words.gettext("Text"),
        words.gettext("Saving"),
        words.gettext("Watching"),
    )
