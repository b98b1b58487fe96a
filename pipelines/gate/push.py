"""Carrying out a plan: the application first, then Kayenta's config, then the pipelines, many at a time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from lorafleet.contracts.problems import ConfigError, LorafleetError, Problem
from pipelines.gate.canary_saving import apply_config
from pipelines.gate.client import Gate
from pipelines.gate.plan import Action, Change, ConfigChange, Plan
from pipelines.gate.saving import apply
from pipelines.gate.tasks import upsert_application
from pipelines.model.triggers import WEBHOOK_SECRET

# Gate takes at least a second for each save, and each is a task of Orca's.
AT_A_TIME = 8
# A name becomes free before another pipeline takes it, and nothing is deleted before its successor is there.
_ORDER = (Action.UPDATE, Action.CREATE, Action.DELETE)


def push(gate: Gate, plan: Plan, secret: str | None, done: Callable[[Change | ConfigChange], None] = lambda _change: None) -> None:
    """Carry a plan out. ``done`` is told of each pipeline, and of the canary config, that was saved and read back.

    Without the config that they refer to no pipelines are saved; of the pipelines all are tried even where some fail. The same push
    again does only what is missing.

    Raises:
        ConfigError: a pipeline needs the webhook's secret and there is none; nothing was sent.
        LorafleetError: with a problem for each pipeline that was not saved.
    """
    steps = [with_secret(change, secret) for change in plan.steps]
    if plan.application.action is Action.CREATE:
        upsert_application(gate, plan.application.attributes)
    if plan.canary_config is not None and plan.canary_config.action is not Action.KEEP:
        apply_config(gate, plan.name, plan.canary_config)
        done(plan.canary_config)
    errors: dict[str, LorafleetError] = {}
    with ThreadPoolExecutor(max_workers=AT_A_TIME, thread_name_prefix="gate") as pool:
        for action in _ORDER:
            started = {pool.submit(apply, gate, plan.name, change, secret): change for change in steps if change.action is action}
            for future in as_completed(started):
                error = future.exception()
                if error is None:
                    done(started[future])
                elif isinstance(error, LorafleetError):
                    errors[started[future].name] = error
                else:
                    raise error
    if errors:
        raise _all_of([errors[name] for name in sorted(errors)])


def done_line(change: Change | ConfigChange) -> dict[str, str]:
    """What is told of a change that was carried out."""
    kind = "pipeline" if isinstance(change, Change) else "canaryConfig"
    return {kind: change.name, "action": change.action}


def _all_of(errors: Sequence[LorafleetError]) -> LorafleetError:
    # Where Gate is away, hundreds of pipelines fail of the same.
    problems = dict.fromkeys(problem for error in errors for problem in error.problems)
    summed = LorafleetError(problems)
    summed.exit_code = errors[0].exit_code
    return summed


def with_secret(change: Change, secret: str | None) -> Change:
    """The change with the webhook's secret where its placeholder stands.

    Raises:
        ConfigError: there is no secret.
    """
    if change.pipeline is None or not _has_placeholder(change.pipeline):
        return change
    if secret is None:
        raise ConfigError(
            Problem(
                f"'{change.name}' is started by a webhook, whose secret is not given",
                hint="set LORAFLEET_WEBHOOK_SECRET or LORAFLEET_WEBHOOK_SECRET_FILE; Alertmanager sends the same",
            )
        )
    return replace(change, pipeline=_replaced(change.pipeline, secret))


def _has_placeholder(pipeline: Mapping[str, Any]) -> bool:
    return any(
        WEBHOOK_SECRET in (trigger.get("payloadConstraints") or {}).values()
        for trigger in pipeline.get("triggers") or ()
        if trigger.get("type") == "webhook"
    )


def _replaced(pipeline: Mapping[str, Any], secret: str) -> dict[str, Any]:
    def trigger_with(trigger: Mapping[str, Any]) -> Mapping[str, Any]:
        if trigger.get("type") != "webhook":
            return trigger
        constraints = trigger.get("payloadConstraints") or {}
        replaced = {key: secret if value == WEBHOOK_SECRET else value for key, value in constraints.items()}
        return {**trigger, "payloadConstraints": replaced}

    return {**pipeline, "triggers": [trigger_with(trigger) for trigger in pipeline["triggers"]]}
