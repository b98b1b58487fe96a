"""What is known before a job is submitted: the keys of the training configuration, and what a run will take."""

from fastapi import APIRouter

from lorafleet.console.api.auth import Viewer
from lorafleet.console.api.services import Here
from lorafleet.console.domain.estimate import estimate
from lorafleet.console.domain.refusals import Unprocessable
from lorafleet.console.domain.requests import checked_training
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import NOT_SETTABLE, Estimate, NewJob, TrainingKey
from lorafleet.contracts.training import TrainingConfig, type_name

router = APIRouter(prefix=paths.API, tags=["planning"])


@router.post("/estimate")
def estimate_job(body: NewJob, principal: Viewer, here: Here) -> Estimate:
    """Steps, memory, hours and price of a job that is not submitted yet; its keys are checked as at submission."""
    config = checked_training(body.training)
    version = body.version or here.ledger.datasets.get(principal.team, body.dataset).version
    if version is None:
        raise Unprocessable(f"data set {body.dataset} has no files yet", where="dataset", hint="upload some first")
    return estimate(config, here.ledger.datasets.version(principal.team, body.dataset, version).rows)


@router.get("/training-keys")
def training_keys(_: Viewer) -> list[TrainingKey]:
    """Every key of the training configuration, explained; those that the worker decides are not settable."""
    properties = TrainingConfig.model_json_schema()["properties"]
    keys = []
    for name, info in TrainingConfig.model_fields.items():
        extra = info.json_schema_extra
        keys.append(
            TrainingKey(
                key=name,
                group=str(extra.get("group", "")) if isinstance(extra, dict) else "",
                type=type_name(properties[name]),
                description=info.description or "",
                default=None if info.is_required() else info.get_default(call_default_factory=True),
                required=info.is_required() and name not in NOT_SETTABLE,
                settable=name not in NOT_SETTABLE,
            )
        )
    return keys
