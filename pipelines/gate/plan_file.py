"""A plan on disk: what was looked at is what is pushed. It holds the webhook's placeholder, never its secret."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.fleet import BaseUrl
from lorafleet.contracts.problems import ConfigError
from pipelines.gate.plan import Plan
from pipelines.text_files import read_text, write_whole


class SavedPlan(BaseModel):
    """A plan and the Gate that it was made for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    gate: BaseUrl
    plan: Plan


def save_plan(path: Path, gate: str, plan: Plan) -> None:
    """Write a plan, whole or not at all. The differences are left out: what others wrote in Gate may be secret.

    Raises:
        StorageError: it cannot be written.
    """
    bare = replace(
        plan,
        application=replace(plan.application, differences=()),
        changes=tuple(replace(change, differences=()) for change in plan.changes),
        canary_config=None if plan.canary_config is None else replace(plan.canary_config, differences=()),
    )
    write_whole(path, SavedPlan(gate=gate, plan=bare).model_dump_json(indent=2) + "\n")


def read_plan(path: Path) -> SavedPlan:
    """Read a plan.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is no plan.
    """
    document = parse(read_text(path), str(path))
    if not isinstance(document.value, Mapping) or "plan" not in document.value:
        raise ConfigError("this is no plan", where=str(path), hint="lorafleet release plan --out FILE writes one")
    return validate(SavedPlan, document)
