"""A plan for a person: what is added in green, changed in yellow, removed in red."""

import json
from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.gate.diff import Difference, Kind, shown
from pipelines.gate.plan import Action, Change, ConfigChange, Plan

_MARKS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.DELETE: ("-", "red"),
    Action.KEEP: (" ", "dim"),
}
_KINDS = {Kind.ADDED: ("+", "green"), Kind.CHANGED: ("~", "yellow"), Kind.REMOVED: ("-", "red")}
_WIDEST = 160
_VERBS = {Action.CREATE: "create", Action.UPDATE: "change", Action.DELETE: "delete"}


def print_plan(plan: Plan, console: Console) -> None:
    """Print every change and each place where it differs; long values are cut, ``--json`` has them whole."""
    if plan.application.action is Action.CREATE:
        console.print(Text(f"+ application {plan.name}", "green"))
    if plan.canary_config is not None:
        _print_config(plan.canary_config, console)
    for change in plan.changes:
        _print_change(change, console)
    for orphan in plan.orphans:
        console.print(
            Text(f"! pipeline {orphan}: has our tag and is not in the spec; --prune deletes it", "magenta"), soft_wrap=True
        )
    console.print(summary(plan), highlight=False)


def _print_config(change: ConfigChange, console: Console) -> None:
    mark, style = _MARKS[change.action]
    console.print(Text(f"{mark} canary config {change.name}", style), soft_wrap=True)
    if change.action is Action.UPDATE:
        for difference in change.differences:
            console.print(difference_line(difference), soft_wrap=True)


def summary(plan: Plan) -> str:
    """One line."""
    if plan.empty:
        return "nothing to change: Gate holds what the spec says"
    actions = [change.action for change in plan.changes]
    if plan.canary_config is not None:
        actions.append(plan.canary_config.action)
    counts = [(actions.count(action), verb) for action, verb in _VERBS.items()]
    kept = actions.count(Action.KEEP)
    return f"plan: {', '.join(f'{count} to {verb}' for count, verb in counts)}, {kept} unchanged"


def plan_json(plan: Plan) -> dict[str, Any]:
    """For machines."""
    config = plan.canary_config
    return {
        "application": {"name": plan.name, "action": plan.application.action},
        "canaryConfig": None if config is None else _change_json(config),
        "pipelines": [_change_json(change) for change in plan.changes],
        "orphans": list(plan.orphans),
        "changes": not plan.empty,
    }


def _change_json(change: Change | ConfigChange) -> dict[str, Any]:
    found = [difference.to_json() for difference in change.differences if change.action is Action.UPDATE]
    return {"name": change.name, "action": change.action, "differences": found}


def _print_change(change: Change, console: Console) -> None:
    mark, style = _MARKS[change.action]
    line = Text(f"{mark} pipeline {change.name}", style)
    if change.base is not None and change.base.name != change.name:
        line.append(f" (now '{change.base.name}')")
    if change.action is Action.CREATE and change.pipeline is not None:
        line.append(f": {len(change.pipeline.get('stages') or ())} stages")
    console.print(line, soft_wrap=True)
    if change.action is Action.UPDATE:
        for difference in change.differences:
            console.print(difference_line(difference), soft_wrap=True)


def difference_line(difference: Difference) -> Text:
    """One place: what Gate holds → what is wanted."""
    mark, style = _KINDS[difference.kind]
    line = Text(f"    {mark} {difference.place}: ", style)
    if difference.kind is Kind.CHANGED:
        line.append(_short(difference.before), "red").append(" → ").append(_short(difference.after), "green")
    else:
        line.append(_short(difference.after if difference.kind is Kind.ADDED else difference.before))
    return line


def _short(value: Any) -> str:
    text = json.dumps(shown(value), ensure_ascii=False, sort_keys=True)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
