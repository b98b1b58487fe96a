"""From a spec to what is pushed, and to the Gate that it is pushed to."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafleet.contracts.document import parse
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import ConfigError, LorafleetError, Problem
from pipelines.compile import compile_fleet
from pipelines.gate.canary_plan import plan_config
from pipelines.gate.canary_saving import find_config
from pipelines.gate.client import Gate, Json, connect
from pipelines.gate.credentials import read_credentials
from pipelines.gate.plan import ConfigChange, Plan, make_plan
from pipelines.gate.webhook_secret import read_webhook_secret
from pipelines.lint import Finding, Severity, lint, lint_json
from pipelines.model.canary import CanaryConfig
from pipelines.model.pipeline import Delivery
from pipelines.rest import Pace
from pipelines.spec_files import base_url, read_sites, read_spec
from pipelines.text_files import read_text

PACE = Pace()


class NotClean(LorafleetError):
    """The lint forbids to push these pipelines."""

    exit_code = ExitCode.CONFIG


@dataclass(frozen=True)
class Source:
    """Where a spec is, and what the command line adds to it: the sites' folder, a digest and the console's address."""

    spec: Path
    sites: Path | None = None
    digest: str | None = None
    console: str | None = None


def read_delivery(source: Source) -> tuple[FleetSpec, Delivery]:
    """Compile a spec.

    Raises:
        NoInputError: the spec or a site's file cannot be read.
        ConfigError: one of them is wrong.
    """
    spec = read_spec(source.spec, source.digest, source.console)
    return spec, compile_fleet(spec, read_sites(spec, source.sites or source.spec.parent / "sites"))


def lint_path(source: Source) -> list[Finding]:
    """Lint what a spec compiles to, or a pipeline's own JSON, such as a rendered one.

    Raises:
        NoInputError: a file cannot be read.
        ConfigError: it is neither.
    """
    document = parse(read_text(source.spec), str(source.spec))
    if isinstance(document.value, Mapping) and "stages" in document.value:
        return lint_json(document.value)
    return lint(read_delivery(source)[1])


def refuse_unclean(findings: Iterable[Finding], *, strict: bool = False) -> None:
    """See that the lint found no error; ``strict``: no warning either.

    Raises:
        NotClean: with a problem for each.
    """
    problems = [
        Problem(
            f"{finding.code} {finding.message}",
            f"{finding.pipeline}/{finding.stage}" if finding.stage else finding.pipeline,
            finding.way_out,
        )
        for finding in findings
        if strict or finding.severity is Severity.ERROR
    ]
    if problems:
        raise NotClean(problems)


def gate_of(spec: FleetSpec | None, url: str | None) -> Gate:
    """The Gate of a command: ``url`` from the command line or the environment, or else the spec's.

    Raises:
        ConfigError: neither names one, or the credentials do not fit together.
    """
    if url is not None:
        address = base_url(url, "--gate")
    elif spec is not None and spec.gate is not None:
        address = spec.gate.url
    else:
        raise ConfigError("it is not said where Gate is", hint="add gate.url to the spec, or give --gate URL or LORAFLEET_GATE_URL")
    return connect(address, read_credentials(os.environ), PACE)


def plan_of(gate: Gate, delivery: Delivery, *, prune: bool) -> tuple[Plan, Sequence[Json]]:
    """The plan for a delivery, and the pipelines that Gate holds.

    Raises:
        NotOurs: Gate holds something of the same name without our tag.
        ServiceError: Gate cannot be asked, or has no Kayenta and the spec wants an analysis.
    """
    secret = read_webhook_secret(os.environ)
    application = delivery.application
    wanted = [pipeline.to_json() for pipeline in delivery.pipelines]
    held = gate.pipelines(application.name)
    there = gate.application(application.name)
    config = None if delivery.canary_config is None else _config_plan(gate, delivery.canary_config)
    return make_plan(application.to_json(), wanted, there, held, prune=prune, secret=secret, canary_config=config), held


def _config_plan(gate: Gate, wanted: CanaryConfig) -> ConfigChange:
    return plan_config(wanted, find_config(gate, wanted.application, wanted.account, wanted.id, wanted.name))
