"""What a push would do to Kayenta's canary config, from what is wanted and what Gate holds; pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipelines.gate.diff import differences
from pipelines.gate.normal import same
from pipelines.gate.plan import Action, ConfigChange, Json, NotOurs
from pipelines.model.canary import MANAGED, CanaryConfig

_SERVER_KEYS = frozenset({"id", "createdTimestamp", "createdTimestampIso", "updatedTimestamp", "updatedTimestampIso"})


def plan_config(wanted: CanaryConfig, held: Json | None) -> ConfigChange:
    """Compare the config that is wanted with the one of its id or name that Gate holds, whose id is used.

    Raises:
        NotOurs: that one is not ours.
    """
    config = wanted.to_json()
    name, account = wanted.name, wanted.account
    if held is None:
        return ConfigChange(Action.CREATE, name, account, config, None, tuple(differences({}, normal_config(config))))
    if not is_our_config(held):
        raise NotOurs(
            f"Gate holds a canary config '{held.get('name')}' that is not ours; it is not touched",
            hint=f"rename it there, or let its description end in '{MANAGED}' to hand it over",
        )
    config["id"] = held["id"]
    found = tuple(differences(normal_config(held), normal_config(config)))
    return ConfigChange(Action.UPDATE if found else Action.KEEP, name, account, config, config_fingerprint(held), found)


def is_our_config(config: Json) -> bool:
    """Whether a config has our mark: it has no tags."""
    return str(config.get("description") or "").endswith(MANAGED)


def is_as_wanted(change: ConfigChange, held: Json | None) -> bool:
    """Whether Gate holds what the change wants."""
    return held is not None and held.get("id") == change.id and same(normal_config(held), normal_config(change.config))


def config_fingerprint(config: Json) -> str:
    """A hash of the normal form."""
    return hashlib.sha256(json.dumps(normal_config(config), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def normal_config(config: Json) -> dict[str, Any]:
    """The config without Kayenta's own keys and what is empty; metrics stand under their names, as their order says nothing."""
    form: dict[str, Any] = _bare({key: value for key, value in config.items() if key not in _SERVER_KEYS})
    metrics = form.get("metrics")
    if isinstance(metrics, list):
        form["metrics"] = {str(metric["name"]): metric for metric in metrics if isinstance(metric, Mapping) and "name" in metric}
    weights = (form.get("classifier") or {}).get("groupWeights") or {}
    # Kayenta keeps weights as doubles, and gives 60 back as 60.0.
    form["classifier"] = {"groupWeights": {str(group): float(weight) for group, weight in weights.items()}}
    return form


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        children = {key: _bare(child) for key, child in value.items()}
        return {key: child for key, child in children.items() if child is not None and child not in ({}, [])}
    if isinstance(value, list):
        return [_bare(child) for child in value]
    return value
