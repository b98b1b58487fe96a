"""Where things lie in an object store: the same keys in a folder, S3, GCS, Azure Blob and S3-compatible stores.

Everything that an attempt writes has the attempt's fence in its key, so that two live writers never write the same object.
Each function raises :class:`~lorafleet.contracts.problems.ConfigError` for an id, number or name that makes no safe key.
"""

import re
from dataclasses import dataclass

from lorafleet.contracts.problems import ConfigError

ID = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""Ids of data sets, versions and jobs: what a DNS label allows, so that an id also names Kubernetes objects."""

KEY_BYTES = 1024
"""The longest key, in bytes of UTF-8, that S3 and GCS take."""

# The ids and numbers in front need fewer than 324 bytes.
_NAME_BYTES = 700
_LARGEST = 2**63 - 1


def dataset_prefix(dataset: str, version: str) -> str:
    """``datasets/<id>/<version>/``, immutable once it is stored."""
    return f"datasets/{_id(dataset, 'data set')}/{_id(version, 'version')}/"


def dataset_object(dataset: str, version: str, name: str) -> str:
    """A file of a data set version; ``name`` is its path inside the set."""
    return dataset_prefix(dataset, version) + _name(name)


@dataclass(frozen=True)
class DatasetObject:
    """The parts of a data set file's key. A version may hold files that an earlier version of the same set stored."""

    dataset: str
    version: str
    name: str


def parse_dataset_object(key: str) -> DatasetObject | None:
    """Read a key back; None where it is no data set file's. The inverse of :func:`dataset_object`."""
    found = re.fullmatch(rf"datasets/(?P<dataset>{ID})/(?P<version>{ID})/(?P<name>.+)", key, re.DOTALL)
    if found is None:
        return None
    try:
        _name(found["name"])
    except ConfigError:
        return None
    return DatasetObject(found["dataset"], found["version"], found["name"])


def file_name(key: str) -> str:
    """A file's name inside its data set, from its key.

    Raises:
        ConfigError: this is no data set file's key.
    """
    found = parse_dataset_object(key)
    if found is None:
        raise ConfigError(f"the key {key[:80]!r} is no data set file's")
    return found.name


def job_prefix(job: str) -> str:
    """``jobs/<id>/``."""
    return f"jobs/{_id(job, 'job')}/"


def head(job: str) -> str:
    """``jobs/<id>/HEAD.json``: a copy of the database's row about the newest published state, for disaster."""
    return job_prefix(job) + "HEAD.json"


def attempt_prefix(job: str, fence: int) -> str:
    """``jobs/<id>/attempts/<fence>/``."""
    return f"{job_prefix(job)}attempts/{_number(fence, 'fence', 1)}/"


def step_prefix(job: str, fence: int, step: int) -> str:
    """``jobs/<id>/attempts/<fence>/step-<n>/``: one checkpoint, immutable."""
    return f"{attempt_prefix(job, fence)}step-{_number(step, 'step', 0)}/"


def step_object(job: str, fence: int, step: int, name: str) -> str:
    """A file of a checkpoint."""
    return step_prefix(job, fence, step) + _name(name)


def sample_object(job: str, fence: int, step: int, name: str) -> str:
    """``jobs/<id>/samples/<fence>/step-<n>/<name>``."""
    return f"{job_prefix(job)}samples/{_number(fence, 'fence', 1)}/step-{_number(step, 'step', 0)}/{_name(name)}"


def output_object(job: str, fence: int, name: str) -> str:
    """``jobs/<id>/output/<fence>/<name>``: a finished file. Which fence won stands in the job's row and its HEAD.json."""
    return f"{job_prefix(job)}output/{_number(fence, 'fence', 1)}/{_name(name)}"


def is_output(key: str) -> bool:
    """Whether a key is a finished file's, as :func:`output_object` forms it."""
    found = re.fullmatch(rf"(?P<prefix>jobs/{ID}/output/[1-9]\d{{0,18}})/(?P<name>.+)", key, re.DOTALL)
    if found is None:
        return False
    try:
        _name(found["name"])
    except ConfigError:
        return False
    return True


def mirrored(key: str) -> str:
    """``mirrored/<key>.json``: in a backup, what an object was when it was copied there."""
    return f"mirrored/{checked_key(key)}.json"


def checked_key(key: str) -> str:
    """The key itself, where it is a relative path that every store and disk understands alike."""
    if len(key.encode("utf-8", "surrogatepass")) > KEY_BYTES:
        raise ConfigError(f"the key {key[:40]!r}… is too long", hint=f"use at most {KEY_BYTES} bytes of UTF-8")
    return _path(key)


@dataclass(frozen=True)
class StepObject:
    """The parts of a checkpoint file's key."""

    job: str
    fence: int
    step: int
    name: str


def parse_step_object(key: str) -> StepObject | None:
    """Read a key back; None where it is no checkpoint file's. The inverse of :func:`step_object`."""
    found = re.fullmatch(
        rf"jobs/(?P<job>{ID})/attempts/(?P<fence>\d{{1,19}})/step-(?P<step>\d{{1,19}})/(?P<name>.+)", key, re.DOTALL
    )
    if found is None:
        return None
    parsed = StepObject(found["job"], int(found["fence"]), int(found["step"]), found["name"])
    try:
        same = step_object(parsed.job, parsed.fence, parsed.step, parsed.name) == key
    except ConfigError:
        return None
    # Leading zeros would give one step two keys.
    return parsed if same else None


def _id(value: str, what: str) -> str:
    if re.fullmatch(ID, value) is None:
        raise ConfigError(
            f"{value!r} is no id of a {what}", hint="use 1 to 63 small letters, digits and hyphens, no hyphen at the ends"
        )
    return value


def _number(value: int, what: str, least: int) -> int:
    if not least <= value <= _LARGEST:
        raise ConfigError(f"{what} {value} is out of range", hint=f"use {least} or more")
    return value


def _name(value: str) -> str:
    _path(value)
    if len(value.encode()) > _NAME_BYTES:
        raise ConfigError(f"the object name {value[:40]!r}… is too long", hint=f"use at most {_NAME_BYTES} bytes of UTF-8")
    return value


def _path(value: str) -> str:
    parts = value.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ConfigError(f"{value!r} is no name of an object", hint="use a relative path without empty, '.' or '..' parts")
    if "\\" in value or not value.isprintable():
        raise ConfigError(f"{value!r} is no name of an object", hint="use no backslashes and no control characters")
    return value
