"""The normal form of a pipeline: what is left once the server's own keys, defaults and orders without a meaning are taken out.

Sources: deck ``IPipeline.ts``, front50 ``Pipeline.java``, orca ``SavePipelineTask``.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.model.pipeline import MANAGED_BY
from pipelines.model.triggers import WEBHOOK_SECRET

OWNER = {"name": "managed-by", "value": MANAGED_BY}
"""The tag without which nothing in Gate is ever touched."""

SERVER_KEYS = frozenset({"id", "updateTs", "lastModified", "lastModifiedBy", "createTs", "index", "etag"})
_DEFAULTS: Mapping[str, Any] = {
    "schema": "1",
    "disabled": False,
    "keepWaitingPipelines": False,
    "limitConcurrent": True,
    "maxConcurrentExecutions": 0,
    "respectQuietPeriod": False,
    "description": "",
    "roles": [],
    "tags": [],
    "expectedArtifacts": [],
    "parameterConfig": [],
    "triggers": [],
    "notifications": [],
    "stages": [],
}
_TRIGGER_DEFAULTS: Mapping[str, Any] = {"expectedArtifactIds": []}
_MANAGED_ACCOUNT = "@managed-service-account"

OUR_SECRET = "(the webhook's secret)"  # noqa: S105
OTHER_SECRET = "(another secret)"  # noqa: S105
NO_SECRET = "(no secret)"  # noqa: S105


def is_ours(pipeline: Mapping[str, Any]) -> bool:
    """Whether a pipeline has our tag."""
    return any(isinstance(tag, Mapping) and OWNER.items() <= tag.items() for tag in pipeline.get("tags") or ())


def same(desired: Any, held: Any) -> bool:
    """Whether two normal forms are equal, to the type: 1, 1.0 and true are not."""
    return _canonical(desired) == _canonical(held)


def fingerprint(pipeline: Mapping[str, Any]) -> str:
    """A hash of the normal form; secrets do not go into it."""
    return hashlib.sha256(_canonical(normal(pipeline)).encode()).hexdigest()


def normal(pipeline: Mapping[str, Any], *, secret: str | None = None, wanted: bool = False) -> dict[str, Any]:
    """The normal form, in which no secret of a webhook is left.

    Stages stand under their refId, parameters under their name. ``secret`` is the webhook's; without it every secret that Gate holds
    counts as the right one. Its placeholder stands for it only in a pipeline that is ``wanted``: in Gate anybody knows it.
    """
    form: dict[str, Any] = {}
    for key, value in pipeline.items():
        if key in SERVER_KEYS or value is None or (key in _DEFAULTS and _canonical(value) == _canonical(_DEFAULTS[key])):
            continue
        form[key] = value
    for key, mark in (("stages", "refId"), ("parameterConfig", "name"), ("tags", "name")):
        if key in form:
            form[key] = _keyed(form[key], mark)
    for stage in form.get("stages", {}).values():
        stage["requisiteStageRefIds"] = sorted(str(ref) for ref in stage.get("requisiteStageRefIds") or ())
    if "triggers" in form:
        form["triggers"] = _sorted([_trigger(trigger, secret, wanted) for trigger in form["triggers"]])
    if "notifications" in form:
        form["notifications"] = _sorted(form["notifications"])
    return form


def _trigger(trigger: Mapping[str, Any], secret: str | None, wanted: bool) -> dict[str, Any]:
    # Front50 gives triggers ids of its own, and Orca a managed account where a pipeline has roles.
    form = {
        key: value
        for key, value in trigger.items()
        if key != "id"
        and value is not None
        and not (key in _TRIGGER_DEFAULTS and value == _TRIGGER_DEFAULTS[key])
        and not (key == "runAsUser" and str(value).endswith(_MANAGED_ACCOUNT))
    }
    if form.get("type") == "webhook" and isinstance(form.get("payloadConstraints"), Mapping):
        form["payloadConstraints"] = {
            key: _hidden(key, value, secret, wanted) for key, value in sorted(form["payloadConstraints"].items())
        }
    return form


def _hidden(key: str, value: Any, secret: str | None, wanted: bool) -> Any:
    """What stands for a payload constraint: itself, or a word for it where it is a secret."""
    if value == WEBHOOK_SECRET:
        return OUR_SECRET if wanted else NO_SECRET
    if secret is not None and isinstance(value, str) and hmac.compare_digest(value.encode(), secret.encode()):
        return OUR_SECRET
    if not any(word in key.lower() for word in ("secret", "token", "password", "key")):
        return value
    if not value:
        return NO_SECRET
    return OUR_SECRET if secret is None else OTHER_SECRET


def _keyed(items: Sequence[Any], mark: str) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for index, item in enumerate(items):
        name = str(item.get(mark, f"#{index}")) if isinstance(item, Mapping) else f"#{index}"
        while name in form:
            name += "'"
        form[name] = {key: value for key, value in item.items() if key != mark} if isinstance(item, Mapping) else {"": item}
    return form


def _sorted(items: Sequence[Any]) -> list[Any]:
    return sorted(items, key=_canonical)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
