"""``release run``, from the spec to the execution that runs."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from pydantic import SecretStr

from lorafleet.contracts.problems import ConfigError, UsageError
from pipelines import releasing
from pipelines.delivering import PACE, Source, gate_of, plan_of, read_delivery
from pipelines.gate.client import Gate, Json
from pipelines.gate.plan import Action, Change, Plan
from pipelines.model.pipeline import Delivery
from pipelines.patterns.parameters import IMAGE_DIGEST, RELEASE, TOKEN
from pipelines.patterns.release import RELEASE_PIPELINE
from pipelines.rest import ServiceError
from pipelines.secret_sources import secret
from pipelines.spec_files import base_url, read_spec


@dataclass(frozen=True)
class Started:
    """A release on its way; ``gate`` is where its execution can be followed."""

    gate: Gate
    release: str
    execution: str


def start_release(
    source: Source, *, release: str | None, gate_url: str | None, console_url: str | None, tell: Callable[[str], None]
) -> Started:
    """Register a release, unless ``release`` names one, and start its pipeline.

    ``console_url`` is where the console is reached from here, and what pipelines call only where the spec does not say.

    Raises:
        UsageError: there is no digest.
        ConfigError: an address or a token is missing, or Gate does not hold the pipelines of this spec.
        ServiceError: Gate or the console does not answer, or refuses.
    """
    spec = read_spec(source.spec, source.digest)
    if spec.image.mutable:
        raise UsageError(
            "a release is one image by its digest, and none is named", hint="--digest sha256:…, as the build printed it"
        )
    spec, delivery = read_delivery(source if spec.console is not None else replace(source, console=console_url))
    gate = gate_of(spec, gate_url)
    # Before anything is registered.
    held = _as_pushed(gate, delivery)
    _wait_for_echo(gate, held, tell)
    digest = spec.image.digest
    if release is not None:
        ticket = releasing.Ticket(release, _token(releasing.RELEASE_TOKEN, "the release's own token"))
        return Started(gate, release, releasing.start(gate, held, _parameters(digest, ticket), _is_of(ticket)))
    assert spec.console is not None, "nothing compiles without"
    address = spec.console.url if console_url is None else base_url(console_url, "--console")
    releaser = _token(releasing.TOKEN, "a releaser's token")
    ticket = releasing.register(releasing.console(address, releaser, PACE), releasing.registration(spec, digest))
    try:
        return Started(gate, ticket.release, releasing.start(gate, held, _parameters(digest, ticket), _is_of(ticket)))
    except ServiceError:
        # So that it does not stand in the next one's way.
        with suppress(ServiceError):
            releasing.revoke(address, ticket, "its pipeline was not started", PACE)
        raise


def _as_pushed(gate: Gate, delivery: Delivery) -> Json:
    """The release pipeline that Gate holds, once it is sure that it and the rollback are those of the spec."""
    plan, held = plan_of(gate, delivery, prune=False)
    changed = [change.name for change in plan.changes if _is_changed(change)]
    if plan.canary_config is not None and plan.canary_config.action is not Action.KEEP:
        changed.append(f"canary config {plan.canary_config.name}")
    if changed:
        raise ConfigError(
            f"Gate does not hold {' and '.join(changed)} of {plan.name} as this spec says", hint="lorafleet release push, then run"
        )
    return next(pipeline for pipeline in held if pipeline.get("id") == _id_of(plan))


def _is_changed(change: Change) -> bool:
    # The digest is the one thing in a pipeline that each release brings along.
    default = ("parameterConfig", IMAGE_DIGEST, "default")
    return change.action is Action.CREATE or any(difference.path != default for difference in change.differences)


def _id_of(plan: Plan) -> str:
    return next(str(change.pipeline["id"]) for change in plan.changes if change.name == RELEASE_PIPELINE and change.pipeline)


def _wait_for_echo(gate: Gate, held: Json, tell: Callable[[str], None]) -> None:
    wait = releasing.echo_lag(held)
    if wait > 0:
        lag = f"Spinnaker takes up a new version within {releasing.ECHO_LAG:g} s"
        tell(f"the pipeline was saved just now and {lag}: waiting {wait:.0f} s")
        gate.rest.sleep(wait)


def _parameters(digest: str, ticket: releasing.Ticket) -> dict[str, str]:
    return {IMAGE_DIGEST: digest, RELEASE: ticket.release, TOKEN: ticket.token.get_secret_value()}


def _is_of(ticket: releasing.Ticket) -> Callable[[Json], bool]:
    return lambda parameters: parameters.get(RELEASE) == ticket.release


def _token(name: str, what: str) -> SecretStr:
    found = secret(name, os.environ)
    if found is None:
        raise ConfigError(f"{what} is not given", hint=f"set {name} or {name}_FILE")
    return SecretStr(found)
