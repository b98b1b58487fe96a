"""Which files an upload consists of."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lorafleet.client.multipart import FormFile
from lorafleet.contracts.problems import DataError, NoInputError

_NOT_DATA = (".DS_Store", "Thumbs.db", "desktop.ini")


def collect(paths: Sequence[Path]) -> list[FormFile]:
    """The files of folders and single files, named as inside the data set. Hidden ones and links are left out.

    Raises:
        NoInputError: a path is not there, or there is nothing to send.
        DataError: two files would have one name, or a name is no text.
    """
    files = list(_files(paths))
    if not files:
        raise NoInputError("there are no files to send", where=", ".join(map(str, paths)))
    _no_repeat(files)
    for file in files:
        _readable_name(file)
    return files


def _files(paths: Iterable[Path]) -> Iterator[FormFile]:
    for path in paths:
        if path.is_file():
            yield FormFile(path.name, path)
        elif path.is_dir():
            for inner in sorted(path.rglob("*")):
                name = inner.relative_to(path)
                if inner.is_file() and not inner.is_symlink() and not _hidden(name):
                    yield FormFile(name.as_posix(), inner)
        else:
            raise NoInputError("there is no such file or folder", where=str(path))


def _hidden(name: Path) -> bool:
    return name.name in _NOT_DATA or any(part.startswith(".") for part in name.parts)


def _readable_name(file: FormFile) -> None:
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            "the file's name is not UTF-8 text", where=os.fsencode(file.path).decode("utf-8", "replace"), hint="rename it"
        ) from None


def _no_repeat(files: Sequence[FormFile]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        if file.name in seen:
            raise DataError(f"'{file.name}' stands twice: {seen[file.name]} and {file.path}", hint="rename one")
        seen[file.name] = file.path
