"""Text sets: JSONL, JSON, CSV and plain text, in the shapes that people have them in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from lorafleet.contracts.problems import DataError, NoInputError
from lorafleet.datasets.findings import Code, Finding, Severity
from lorafleet.datasets.tables import SUFFIXES as TABLE_SUFFIXES
from lorafleet.datasets.tables import not_utf8, read_table, read_text

SUFFIXES = (*TABLE_SUFFIXES, ".txt")

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "tool": "tool",
    "observation": "tool",
}
_SHAPES = "'text', 'prompt' and 'completion', 'instruction' and 'output', 'messages', or 'conversations'"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; ``role`` is system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True)
class TextSample:
    """One example.

    ``kind`` says which fields hold it: ``text``; ``prompt`` and ``completion``, which follow each other as they are; or
    ``messages``. ``name`` is ``file:line``, the file's posix path relative to the set (in a ``.json`` list, the item's number).
    """

    kind: Literal["text", "completion", "messages"]
    name: str
    text: str = ""
    prompt: str = ""
    completion: str = ""
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class TextSet:
    """The readable examples in the order of the files' names and lines, and what was found while reading."""

    path: Path
    samples: tuple[TextSample, ...]
    findings: tuple[Finding, ...]

    def where(self, sample: TextSample) -> str:
        """``file:line`` of a sample with the set's own path."""
        return str(self.path / sample.name if self.path.is_dir() else self.path.with_name(sample.name))


class _BadRowError(Exception):
    """Why a row cannot be read; ``empty`` rows are passed over with a warning."""

    def __init__(self, message: str, hint: str = "", empty: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.empty = empty


def list_text_files(folder: Path) -> list[Path]:
    """The files of a text set, sorted by path; hidden ones are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_text_set(path: Path) -> TextSet:
    """Read a file, or all text files of a folder.

    Rows hold ``text``; ``prompt`` and ``completion``; ``instruction``, perhaps ``input``, and ``output`` (which become a prompt
    in Alpaca's own template, and a completion); ``messages`` of ``role`` and ``content``; or ShareGPT's ``conversations`` of ``from``
    and ``value``. Paragraphs of a ``.txt`` file, parted by blank lines, are examples of their own.

    Raises:
        NoInputError: the path is not there or a file cannot be read.
        DataError: a file is not text, or of another kind.
    """
    if not path.exists():
        raise NoInputError("there is no such file or folder", where=str(path), hint="name the file or folder of the text set")
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        raise DataError(f"text sets are read from {', '.join(SUFFIXES)} files", where=str(path))
    files = list_text_files(path) if path.is_dir() else [path]
    samples: list[TextSample] = []
    findings: list[Finding] = []
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        read = _read_paragraphs if file.suffix.lower() == ".txt" else _read_rows
        more, found = read(file, name)
        samples += more
        findings += found
    return TextSet(path, tuple(samples), tuple(findings))


def _read_paragraphs(file: Path, name: str) -> tuple[list[TextSample], list[Finding]]:
    text, is_unicode = read_text(file)
    numbered = enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    samples = []
    for filled, group in groupby(numbered, key=lambda pair: bool(pair[1].strip())):
        if filled:
            lines = list(group)
            samples.append(TextSample("text", f"{name}:{lines[0][0]}", text="\n".join(line for _, line in lines)))
    return samples, [] if is_unicode else [not_utf8(str(file))]


def _read_rows(file: Path, name: str) -> tuple[list[TextSample], list[Finding]]:
    table = read_table(file)
    samples = []
    findings = list(table.findings)
    for row in table.rows:
        try:
            samples.append(_sample(row.values, f"{name}:{row.line}"))
        except _BadRowError as error:
            code, severity = (Code.EMPTY_TEXT, Severity.WARNING) if error.empty else (Code.BAD_ROW, Severity.ERROR)
            findings.append(Finding(code, severity, str(error), f"{file}:{row.line}", error.hint))
    return samples, findings


def _sample(values: Mapping[str, Any], name: str) -> TextSample:
    present = {key for key, value in values.items() if value is not None}
    if "messages" in present:
        return TextSample("messages", name, messages=_messages(values["messages"], "role", "content"))
    if "conversations" in present:
        messages = _messages(values["conversations"], "from", "value")
        system = values.get("system")
        if system and messages[0].role != "system":
            messages = (Message("system", _text(values, "system")), *messages)
        return TextSample("messages", name, messages=messages)
    if {"prompt", "completion"} <= present:
        return TextSample("completion", name, prompt=_text(values, "prompt"), completion=_filled(values, "completion"))
    if {"instruction", "output"} <= present:
        extra = _text(values, "input") if "input" in present else ""
        prompt = alpaca_prompt(_filled(values, "instruction"), extra)
        return TextSample("completion", name, prompt=prompt, completion=_filled(values, "output"))
    if "text" in present:
        return TextSample("text", name, text=_filled(values, "text"))
    raise _BadRowError(f"expected {_SHAPES}, found {', '.join(sorted(present)) or 'nothing'}")


def alpaca_prompt(instruction: str, extra: str = "") -> str:
    """The prompt of an instruction, with its input if it has one.

    Source: ``PROMPT_DICT`` in train.py of tatsu-lab/stanford_alpaca, where these columns come from.
    """
    if extra.strip():
        return (
            "Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n"
            f"### Instruction:\n{instruction}\n\n### Input:\n{extra}\n\n### Response:"
        )
    return (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        f"### Instruction:\n{instruction}\n\n### Response:"
    )


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values[key]
    if not isinstance(value, str):
        raise _BadRowError(f"'{key}' must be text, found {type(value).__name__}")
    return value


def _filled(values: Mapping[str, Any], key: str) -> str:
    value = _text(values, key)
    if not value.strip():
        raise _BadRowError(f"'{key}' is empty, the row is passed over", "fill or remove it", empty=True)
    return value


def _messages(value: Any, role_key: str, content_key: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _BadRowError(f"a conversation is a list of objects with '{role_key}' and '{content_key}'")
    return tuple(_message(turn, number, role_key, content_key) for number, turn in enumerate(value, start=1))


def _message(turn: Any, number: int, role_key: str, content_key: str) -> Message:
    if not isinstance(turn, dict):
        raise _BadRowError(f"turn {number} is not an object with '{role_key}' and '{content_key}'")
    # Many sets call the list 'conversations' and the keys 'role' and 'content'.
    given = turn.get(role_key, turn.get("role"))
    role = _ROLES.get(str(given).lower())
    if role is None:
        raise _BadRowError(f"turn {number} has the unknown role {given!r}", f"known roles: {', '.join(_ROLES)}")
    content = turn.get(content_key, turn.get("content"))
    if isinstance(content, list):
        content = _joined_parts(content, number)
    if not isinstance(content, str):
        raise _BadRowError(f"turn {number} has no text in '{content_key}'")
    return Message(role, content)


def _joined_parts(parts: Iterable[Any], number: int) -> str:
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise _BadRowError(f"turn {number} holds something other than text", "images and sounds are not trained on")
    return "".join(str(text) for text in texts)
