"""What a person's request to train becomes: a checked submission. Pure."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from lorafleet.console.domain.records import JobRecord, Submission
from lorafleet.console.domain.refusals import Unprocessable
from lorafleet.contracts.console_api import NOT_SETTABLE, NewJob
from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.problems import ConfigError, Problem
from lorafleet.contracts.training import TrainingConfig, from_mapping

_DEEPEST = 16
# What a configuration must name and only the worker knows.
PLACES = {"train_data_dir": "data", "output_dir": "output"}


def checked_training(training: Mapping[str, Any]) -> TrainingConfig:
    """The configuration that a person's keys make.

    Raises:
        ConfigError: a key is not theirs to set, unknown or wrong, or something looks like a credential.
    """
    problems = [*_not_plain(training, "training", 0)]
    if not problems:
        problems = [
            Problem("the worker decides this", where=f"training.{key}", hint="leave it out")
            for key in training
            if key in NOT_SETTABLE
        ]
        found = find_credential(training)
        if found is not None:
            problems.append(Problem(f"this is {found[1]}", where=f"training.{found[0]}", hint="never put one into a configuration"))
    if problems:
        raise ConfigError(problems)
    return from_mapping({**PLACES, **training})


def submission(request: NewJob, version: str, continue_step: int | None) -> Submission:
    """A request as the ledger takes it.

    Raises:
        ConfigError: see :func:`checked_training`.
    """
    config = checked_training(request.training)
    return Submission(
        name=request.name,
        dataset=request.dataset,
        version=version,
        training=settable(config.model_dump(mode="json", exclude_unset=True)),
        priority=request.priority,
        gpus=request.gpus,
        min_memory_mib=request.min_memory_mib,
        continue_from=request.continue_from,
        continue_step=continue_step,
    )


def settable(training: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration without the worker's places, as a person may send it again."""
    return {key: value for key, value in training.items() if key not in NOT_SETTABLE}


def again(job: JobRecord, *, name: str | None = None, changes: Mapping[str, Any] | None = None) -> NewJob:
    """The request that would make this job once more, with some keys changed.

    Raises:
        Unprocessable: the job's own values are none that a person may ask for.
    """
    try:
        return NewJob(
            name=name or job.name,
            dataset=job.dataset,
            version=job.version,
            training={**settable(job.training), **(changes or {})},
            priority=job.priority,
            gpus=job.gpus,
            min_memory_mib=job.min_memory_mib,
            continue_from=job.continue_from,
            continue_step=job.continue_step,
        )
    except ValueError:
        raise Unprocessable(f"job {job.id} cannot be asked for again") from None


def _not_plain(value: Any, place: str, depth: int) -> Iterator[Problem]:
    """What JSON can say and neither a database nor a configuration file can hold: half characters, NUL, infinite numbers."""
    if depth > _DEEPEST:
        yield Problem("this is nested too deeply", where="training")
    elif isinstance(value, str) and ("\0" in value or not _encodes(value)):
        yield Problem("this text holds characters that are none", where=place)
    elif isinstance(value, float) and not isfinite(value):
        yield Problem("the number is not finite", where=place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not _encodes(str(key)):
                yield Problem("a key holds characters that are none", where=place)
                continue
            yield from _not_plain(item, f"{place}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _not_plain(item, f"{place}[{index}]", depth + 1)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
