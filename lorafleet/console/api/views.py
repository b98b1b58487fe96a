"""Rows of the ledger as clients see them."""

from lorafleet.console.domain.records import (
    AttemptRecord,
    AuditRecord,
    CheckpointRecord,
    DatasetRecord,
    EventRecord,
    JobRecord,
    SiteRecord,
    TokenRecord,
    VersionRecord,
    WorkerRecord,
)
from lorafleet.contracts.console_api import (
    AttemptView,
    AuditView,
    CheckpointView,
    DatasetFile,
    DatasetView,
    EventView,
    JobRow,
    JobView,
    SiteView,
    TokenView,
    VersionSummary,
    VersionView,
    WorkerView,
)
from lorafleet.contracts.jobs import PublishedObject


def dataset_view(record: DatasetRecord) -> DatasetView:
    """A data set."""
    return DatasetView(id=record.id, name=record.name, kind=record.kind, created_at=record.created_at, version=record.version)


def version_summary(record: VersionRecord) -> VersionSummary:
    """A version in a list."""
    return VersionSummary(
        dataset=record.dataset,
        version=record.version,
        rows=record.rows,
        created_at=record.created_at,
        created_by=record.created_by,
    )


def version_view(record: VersionRecord) -> VersionView:
    """A version with its files."""
    return VersionView(
        **version_summary(record).model_dump(),
        files=tuple(DatasetFile(name=name, size=item.size, sha256=item.sha256) for name, item in record.by_name.items()),
        report=dict(record.report),
        stores=record.stores,
    )


def job_row(record: JobRecord) -> JobRow:
    """A job in a list."""
    return JobRow.model_validate({name: getattr(record, name) for name in JobRow.model_fields})


def job_view(record: JobRecord, position: int | None) -> JobView:
    """A job by itself."""
    same = set(JobView.model_fields) - {"training", "outputs", "position"}
    values = {name: getattr(record, name) for name in same}
    outputs = tuple(_file(item, output_prefix(item.key)) for item in record.outputs)
    return JobView.model_validate({**values, "training": dict(record.training), "outputs": outputs, "position": position})


def attempt_view(record: AttemptRecord) -> AttemptView:
    """A lease."""
    return AttemptView.model_validate({name: getattr(record, name) for name in AttemptView.model_fields})


def checkpoint_view(record: CheckpointRecord) -> CheckpointView:
    """A published checkpoint."""
    return CheckpointView.model_validate({name: getattr(record, name) for name in CheckpointView.model_fields})


def event_view(record: EventRecord) -> EventView:
    """An event."""
    return EventView(
        number=record.number, job=record.job, kind=record.kind.value, at=record.at, fence=record.fence, values=dict(record.values)
    )


def site_view(record: SiteRecord) -> SiteView:
    """A site."""
    return SiteView.model_validate({name: getattr(record, name) for name in SiteView.model_fields})


def worker_view(record: WorkerRecord) -> WorkerView:
    """A worker."""
    return WorkerView(
        site=record.site,
        worker=record.worker,
        digest=record.digest,
        gpus=tuple(dict(gpu) for gpu in record.gpus),
        heard_at=record.heard_at,
        job=record.job,
    )


def token_view(record: TokenRecord) -> TokenView:
    """A token."""
    return TokenView(
        id=record.id,
        name=record.name,
        role=record.role.value,
        created_at=record.created_at,
        expires_at=record.expires_at,
        last_used_at=record.last_used_at,
        revoked_at=record.revoked_at,
    )


def audit_view(record: AuditRecord) -> AuditView:
    """A row of the audit log."""
    return AuditView(
        number=record.number,
        at=record.at,
        actor=record.actor,
        action=record.action,
        target=record.target,
        values=dict(record.values),
        digest=record.digest,
    )


def output_prefix(key: str) -> str:
    """``jobs/<id>/output/<fence>/`` of a finished file's key."""
    return "/".join(key.split("/", 4)[:4]) + "/"


def _file(item: PublishedObject, prefix: str) -> DatasetFile:
    return DatasetFile(name=item.key.removeprefix(prefix), size=item.size, sha256=item.sha256)
