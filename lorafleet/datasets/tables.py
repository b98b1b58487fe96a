"""Tables that people make by hand or in a spreadsheet: CSV, JSONL and JSON, with the line of every row."""

import codecs
import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lorafleet.contracts.problems import DataError, NoInputError
from lorafleet.datasets.findings import Code, Finding, Severity, listed

SUFFIXES = (".csv", ".jsonl", ".json")

# The csv module stops at 128 KiB by default, and long texts are ordinary here.
_LONGEST_FIELD = 64 * 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One row: the 1-based line it starts on, and its values by column name (lower case)."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows that could be read, and findings about those that could not."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]


class Decoded(NamedTuple):
    """A file's text, and whether it was UTF-8 or UTF-16 and not guessed to be GB18030."""

    text: str
    unicode: bool


def not_utf8(where: str, names: tuple[str, ...] = ()) -> Finding:
    """The note on text whose encoding was guessed."""
    what = f"not UTF-8, read as GBK: {listed(names)}" if names else "not UTF-8, read as GBK"
    return Finding(Code.NOT_UTF8, Severity.NOTE, what, where, "save as UTF-8 if characters look wrong", names)


def read_text(path: Path) -> Decoded:
    """A text file's content, from UTF-8 (with or without BOM), UTF-16 with BOM, or else GB18030 (which includes GBK).

    Raises:
        NoInputError: the file cannot be read.
        DataError: the bytes are text in none of these encodings.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return Decoded(text, encoding != "gb18030")
    raise DataError("the text is neither UTF-8 nor GBK", where=str(path), hint="save it as UTF-8")


def read_table(path: Path) -> Table:
    """Read a ``.csv``, ``.jsonl`` or ``.json`` file.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it is not text, or of another kind.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".json": _json_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"tables are read from {', '.join(SUFFIXES)} files", where=str(path))
    text, is_unicode = read_text(path)
    notes = () if is_unicode else (not_utf8(str(path)),)
    if not text.strip():
        return Table((), (*notes, Finding(Code.BAD_TABLE, Severity.ERROR, "the file is empty", str(path))))
    rows, findings = reader(text, path)
    if not rows and not findings:
        findings = [Finding(Code.BAD_TABLE, Severity.ERROR, "there are no rows", str(path), "add a row for each example")]
    return Table(tuple(rows), (*notes, *findings))


def _bad_row(path: Path, line: int, message: str, hint: str = "") -> Finding:
    return Finding(Code.BAD_ROW, Severity.ERROR, message, f"{path}:{line}", hint)


def _csv_rows(text: str, path: Path) -> tuple[list[Row], list[Finding]]:
    csv.field_size_limit(_LONGEST_FIELD)
    first_line = text.lstrip().split("\n", 1)[0]
    # Spreadsheets write the separator of their country.
    delimiter = max(",;\t", key=first_line.count)
    # strict: an unclosed quote must not swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    rows: list[Row] = []
    findings: list[Finding] = []
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [cell.strip().lower() for cell in cells]
            elif len(cells) != len(columns):
                hint = "put values that hold a comma in double quotes" if len(cells) > len(columns) else ""
                findings.append(
                    _bad_row(path, start, f"{len(cells)} values for the {len(columns)} columns {', '.join(columns)}", hint)
                )
            else:
                rows.append(Row(start, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        findings.append(
            _bad_row(path, line, f"this is not CSV: {error}", "look for a double quote that is not closed, or double it")
        )
    return rows, findings


def _jsonl_rows(text: str, path: Path) -> tuple[list[Row], list[Finding]]:
    rows: list[Row] = []
    findings: list[Finding] = []
    # Not splitlines(), which also splits at U+2028 and others that may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            findings.append(_bad_row(path, number, f"this is not JSON: {_json_reason(error)}", "write one object on each line"))
            continue
        _add_object(value, number, path, rows, findings)
    return rows, findings


def _json_rows(text: str, path: Path) -> tuple[list[Row], list[Finding]]:
    """Rows of a JSON list; a row's "line" is then its number in the list."""
    rows: list[Row] = []
    findings: list[Finding] = []
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        return rows, [_bad_row(path, line, f"this is not JSON: {_json_reason(error)}", "one object a line is .jsonl")]
    if not isinstance(values, list):
        hint = "put the rows in square brackets, or write .jsonl"
        return rows, [Finding(Code.BAD_TABLE, Severity.ERROR, "expected a list of objects", str(path), hint)]
    for number, value in enumerate(values, start=1):
        _add_object(value, number, path, rows, findings)
    return rows, findings


def _json_reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply or a number too long"


def _add_object(value: Any, number: int, path: Path, rows: list[Row], findings: list[Finding]) -> None:
    if isinstance(value, dict):
        rows.append(Row(number, {key.strip().lower(): content for key, content in value.items()}))
    else:
        findings.append(_bad_row(path, number, f"expected an object, found {type(value).__name__}", 'for example {"text": "…"}'))
