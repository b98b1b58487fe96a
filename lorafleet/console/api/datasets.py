"""Data sets: made, listed, looked at. Files come by :mod:`.uploads`."""

from fastapi import APIRouter

from lorafleet.console.api.auth import Trainer, Viewer
from lorafleet.console.api.parameters import After, DatasetId, Limit, VersionId
from lorafleet.console.api.services import Here
from lorafleet.console.api.views import dataset_view, version_summary, version_view
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import DatasetView, NewDataset, PageOf, VersionSummary, VersionView

router = APIRouter(prefix=f"{paths.API}/datasets", tags=["datasets"])


@router.post("", status_code=201)
def create(body: NewDataset, principal: Trainer, here: Here) -> DatasetView:
    """Make an empty data set."""
    return dataset_view(here.ledger.datasets.create(principal.team, body.name, body.kind, principal.subject))


@router.get("")
def list_datasets(principal: Viewer, here: Here, after: After = None, limit: Limit = 50) -> PageOf[DatasetView]:
    """The team's data sets, newest first."""
    page = here.ledger.datasets.page(principal.team, after, limit)
    return PageOf[DatasetView](rows=tuple(dataset_view(row) for row in page.rows), after=page.after)


@router.get("/{dataset}")
def get_dataset(dataset: DatasetId, principal: Viewer, here: Here) -> DatasetView:
    """One data set."""
    return dataset_view(here.ledger.datasets.get(principal.team, dataset))


@router.get("/{dataset}/versions")
def versions(dataset: DatasetId, principal: Viewer, here: Here) -> list[VersionSummary]:
    """Its versions, newest first."""
    return [version_summary(row) for row in here.ledger.datasets.versions(principal.team, dataset)]


@router.get("/{dataset}/versions/{version}")
def get_version(dataset: DatasetId, version: VersionId, principal: Viewer, here: Here) -> VersionView:
    """One version with its files and what the checks found."""
    return version_view(here.ledger.datasets.version(principal.team, dataset, version))
