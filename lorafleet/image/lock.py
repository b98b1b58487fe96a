"""Reading a lock as ``uv pip compile --generate-hashes`` writes it: what is installed where the image is built."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lorafleet.contracts.problems import ConfigError, NoInputError, UsageError

_HASH = "--hash=sha256:"


@dataclass(frozen=True)
class Pin:
    """One package of the lock; ``hashes`` are the SHA-256 of its files on the index."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()


def read_locks(paths: Sequence[Path], python: str) -> tuple[Pin, ...]:
    """The packages of several locks that are installed on Linux x86-64 with this Python, such as ``3.12``, by name.

    Raises:
        UsageError: ``python`` is no such version.
        NoInputError: a file cannot be read.
        ConfigError: a file is no lock, or two locks pin a package to different versions.
    """
    if re.fullmatch(r"3\.\d{1,3}", python, re.ASCII) is None:
        raise UsageError(f"--python: '{python[:20]}' is no version of Python 3", hint="write it as 3.12")
    found: dict[str, Pin] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise NoInputError(f"cannot be read: {reason}", where=str(path)) from None
        for pin in parse_lock(text, python, str(path)):
            other = found.setdefault(pin.name, pin)
            if other.version != pin.version:
                what = f"{pin.name} is {pin.version} here and {other.version} in another lock"
                raise ConfigError(what, where=str(path), hint="compile the locks again, with one as the constraint of the other")
    return tuple(found[name] for name in sorted(found))


def parse_lock(text: str, python: str, source: str = "") -> tuple[Pin, ...]:
    """The packages of a lock's text that are installed on Linux x86-64 with this Python.

    Raises:
        ConfigError: a line pins nothing.
    """
    environment = {
        **{name: str(value) for name, value in default_environment().items()},
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    pins: list[Pin] = []
    for number, line in _logical_lines(text):
        words = line.split()
        hashes = tuple(word.removeprefix(_HASH) for word in words if word.startswith(_HASH))
        wanted = " ".join(word for word in words if not word.startswith("--hash="))
        try:
            requirement = Requirement(wanted)
            (specifier,) = requirement.specifier
        except (InvalidRequirement, ValueError):
            specifier = None
        if specifier is None or specifier.operator != "==":
            hint = "use requirements/*.txt as make lock writes them"
            raise ConfigError("this pins no version", where=f"{source}:{number}" if source else f"line {number}", hint=hint)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            pins.append(Pin(canonicalize_name(requirement.name), specifier.version, hashes))
    return tuple(pins)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Each line with those that a backslash ends on it, and the number of its first."""
    lines: list[tuple[int, str]] = []
    goes_on = False
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.partition(" #")[0].strip() if not line.lstrip().startswith("#") else ""
        ends = bare.endswith("\\")
        bare = bare.removesuffix("\\").strip()
        if goes_on:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {bare}")
        elif bare:
            lines.append((number, bare))
        goes_on = ends
    return lines
