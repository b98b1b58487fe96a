"""Kayenta's canary config found in Gate, saved and read back. Nothing is asked of Kayenta where no spec names it.

Source: Kayenta's ``CanaryConfigController``, which Gate passes through. POST takes an id of one's own and refuses one that is there; PUT
replaces what is there without looking at it.
"""

from pipelines.gate.canary_plan import config_fingerprint, is_as_wanted
from pipelines.gate.client import Gate, Json
from pipelines.gate.plan import ConfigChange
from pipelines.gate.saving import NotSaved, Stale, Unknown
from pipelines.rest import NotFound, ServiceError, Unreachable, Unwell

_READ_BACKS = 5


def find_config(gate: Gate, application: str, account: str, config_id: str, name: str) -> Json | None:
    """The config of this id, or else of this name, among the application's.

    Raises:
        ServiceError: Gate cannot be asked, or has no Kayenta.
    """
    try:
        listed = gate.canary_configs(application, account)
    except NotFound as error:
        raise ServiceError(
            "Gate has no canary configs (404), and monitor.canary asks for an analysis",
            hint="switch canary on in Gate and Kayenta, or take monitor.canary out of the spec",
            status=error.status,
        ) from None
    by_id = [str(one["id"]) for one in listed if one.get("id") == config_id]
    by_name = [str(one["id"]) for one in listed if one.get("name") == name]
    known = next(iter(by_id + by_name), None)
    return None if known is None else gate.canary_config(known, account)


def apply_config(gate: Gate, application: str, change: ConfigChange) -> None:
    """Save the config as planned and read it back; what is done already is not done again.

    Raises:
        Stale: Gate holds something else than when the plan was made.
        NotSaved: Gate refused it, or does not show it.
        Unknown: it could not be found out whether it was saved.
    """
    held = find_config(gate, application, change.account, change.id, change.name)
    if is_as_wanted(change, held):
        return
    if (None if held is None else config_fingerprint(held)) != change.base:
        raise Stale(f"canary config '{change.name}' is not in Gate as it was when the plan was made", hint="make a new plan")
    failed: ServiceError | None = None
    try:
        gate.save_canary_config(change.config, change.account, new=held is None)
    except (Unreachable, Unwell) as error:
        # It may have been done all the same.
        failed = error
    except ServiceError as error:
        if error.status != 400:
            raise
        raise NotSaved(f"canary config '{change.name}' was not saved; Gate said: {error.text}", hint="see Kayenta's log") from None
    _read_back(gate, application, change, failed)


def _read_back(gate: Gate, application: str, change: ConfigChange, failed: ServiceError | None) -> None:
    name = change.name
    for attempt in range(_READ_BACKS):
        if attempt:
            gate.rest.sleep(gate.rest.pace.poll)
        try:
            held = find_config(gate, application, change.account, change.id, name)
        except (Unreachable, Unwell) as error:
            what = f"it is not known whether canary config '{name}' was saved: {failed or error}"
            raise Unknown(what, hint="run the same command again once Gate is well") from None
        if is_as_wanted(change, held):
            return
    if failed is not None:
        raise failed
    raise NotSaved(f"Gate said that canary config '{name}' was saved, but shows another one", hint="look into Kayenta's store")
