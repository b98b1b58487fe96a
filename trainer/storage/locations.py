"""Names of places: a folder, or a bucket and a prefix in an object store."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from lorafleet.contracts.problems import ConfigError

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
_REMOTE = ("s3", "gs", "az")
_FORMS = "use a path, file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


@dataclass(frozen=True)
class Location:
    """A place that holds files.

    ``scheme`` is ``file``, ``s3``, ``gs`` or ``az``. ``bucket`` is empty for ``file``. ``key`` is a path for ``file``, otherwise an
    object name or prefix without slashes at its ends, taken literally (``%20`` is not a space).
    """

    scheme: str
    bucket: str
    key: str

    @property
    def is_local(self) -> bool:
        """Whether this is a path of this machine."""
        return self.scheme == "file"

    @property
    def local_path(self) -> Path:
        """The path of a local location.

        Raises:
            ValueError: the location is remote.
        """
        if not self.is_local:
            raise ValueError(f"{self} is no local path")
        return Path(self.key)

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.key.rstrip("/").rpartition("/")[2] or self.bucket

    def child(self, name: str) -> "Location":
        """The location ``name``, which may have several parts, under this one.

        Raises:
            ConfigError: the name would lead out of this location.
        """
        check_name(name, where=str(self))
        return replace(self, key=f"{self.key.rstrip('/')}/{name}" if self.key else name)

    def __str__(self) -> str:
        if self.is_local:
            return self.key
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")


def parse_location(text: str) -> Location:
    """Read a path or a URL.

    Raises:
        ConfigError: it is no location that we know, or there are credentials in it (they are not repeated in the message).
    """
    if not text or not text.strip() or "\0" in text:
        raise ConfigError("a location is empty or holds a NUL", hint=_FORMS)
    match = _URL.fullmatch(text)
    if match is None:
        return Location("file", "", str(Path(text).expanduser() if text == "~" or text.startswith("~/") else Path(text)))
    scheme, rest = match["scheme"].lower(), match["rest"]
    authority, _, key = rest[1:].partition("/")
    if "@" in authority or "?" in rest:
        raise ConfigError(
            "credentials and queries do not belong into a location",
            where=f"{scheme}://…",
            hint="give credentials in the environment: AWS_*, GOOGLE_* or AZURE_*",
        )
    if not rest.startswith("/"):
        raise ConfigError("a URL has two slashes after the colon", where=text, hint=_FORMS)
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise ConfigError(f"a file URL has three slashes; {authority!r} is read as a machine's name", where=text, hint=_FORMS)
        path = unquote(f"/{key}")
        if "\0" in path:
            raise ConfigError("a location holds a NUL", where=text)
        return Location("file", "", str(Path(path)))
    if scheme not in _REMOTE:
        raise ConfigError(f"unknown kind of location {scheme!r}", where=text, hint=_FORMS)
    if not _BUCKET.fullmatch(authority):
        raise ConfigError(f"{authority!r} is no bucket name" if authority else "the bucket is missing", where=text, hint=_FORMS)
    key = key.rstrip("/")
    if key:
        check_name(key, where=text)
    return Location(scheme, authority, key)


def check_name(name: str, *, where: str) -> None:
    """Refuse names that a store and a disk could understand differently, such as those with ``..``.

    Raises:
        ConfigError: the name has an empty, ``.`` or ``..`` part or a control character.
    """
    if any(part in ("", ".", "..") for part in name.split("/")) or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise ConfigError(f"the name {name!r} has an empty, '.' or '..' part or a control character", where=where)
