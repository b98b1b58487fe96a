"""Debian's and Ubuntu's packages, as dpkg keeps them below ``var/lib/dpkg``, and which distribution they are of."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d"
"""Where images without dpkg keep one file for each package."""
OS_RELEASE = ("usr/lib/os-release", "etc/os-release")
FILES = (STATUS, *OS_RELEASE)


@dataclass(frozen=True)
class Package:
    """An installed package."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True)
class Distribution:
    """Debian's ``ID`` and ``VERSION_CODENAME`` (os-release(5)); empty where they are not told."""

    id: str = ""
    codename: str = ""


def wanted(path: str) -> bool:
    """Whether a file of an image is one of those that are read here."""
    return path in FILES or (path.startswith(f"{STATUS_FOLDER}/") and not path.endswith(".md5sums"))


def packages(files: Mapping[str, bytes]) -> tuple[Package, ...]:
    """The installed packages of an image's files, by name."""
    parts = [content for path, content in files.items() if path == STATUS or path.startswith(f"{STATUS_FOLDER}/")]
    found = {package for content in parts for package in _packages(content.decode("utf-8", errors="replace"))}
    return tuple(sorted(found, key=lambda package: (package.name, package.architecture)))


def _packages(text: str) -> Iterator[Package]:
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" "))
        # Files of status.d have no Status.
        installed = fields.get("Status", "install ok installed").endswith(" installed")
        if installed and fields.get("Package", "").strip() and fields.get("Version", "").strip():
            yield Package(fields["Package"], fields["Version"], fields.get("Architecture", ""))


def distribution(files: Mapping[str, bytes]) -> Distribution:
    """What the image's os-release says."""
    text = next((files[path] for path in OS_RELEASE if files.get(path)), b"").decode("utf-8", errors="replace")
    values = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            try:
                words = shlex.split(value)
            except ValueError:
                # A quotation mark alone, which os-release(5) does not have.
                continue
            values[name] = words[0] if words else ""
    return Distribution(values.get("ID", ""), values.get("VERSION_CODENAME", ""))


def python_of(found: tuple[Package, ...]) -> str | None:
    """The distribution's Python as ``3.N``, which is the one that the image's own packages are installed for."""
    version = next((package.version for package in found if package.name == "python3"), "")
    parts = version.split(":")[-1].split(".")
    return f"{parts[0]}.{parts[1]}" if len(parts) > 1 and parts[0].isdecimal() and parts[1].isdecimal() else None
