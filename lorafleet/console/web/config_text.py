"""A job's configuration as a file and as the command that asks for the same job."""

import shlex
from collections.abc import Mapping
from typing import Any

import yaml


def as_yaml(training: Mapping[str, Any]) -> str:
    """The keys as YAML, in their order."""
    if not training:
        return ""
    text: str = yaml.safe_dump(dict(training), sort_keys=False, allow_unicode=True, width=120)
    return text


def as_command(
    dataset: str, name: str, training: Mapping[str, Any], *, gpus: int = 0, min_memory_mib: int = 0, priority: int = 0
) -> str:
    """``lorafleet job submit …`` with every key as an override."""
    words = ["lorafleet", "job", "submit", "--dataset", dataset, "--name", name]
    for option, value in (("--gpus", gpus), ("--min-memory-mib", min_memory_mib), ("--priority", priority)):
        if value:
            words += [option, str(value)]
    words += [f"{key}={as_value(value)}" for key, value in training.items()]
    return shlex.join(words)


def as_value(value: Any) -> str:
    """A value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000_000)
    return text.removesuffix("\n").removesuffix("\n...")
