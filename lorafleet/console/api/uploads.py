"""Files into data sets: whole uploads at once, drafts over several requests, and captions of versions that exist."""

from functools import partial
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from lorafleet.console.api.auth import Trainer, Viewer
from lorafleet.console.api.downloads import FILE, sent
from lorafleet.console.api.form_stream import FormStream
from lorafleet.console.api.multipart import parts
from lorafleet.console.api.parameters import DatasetId, VersionId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.api.views import version_view
from lorafleet.console.domain.records import Principal
from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.replacing import find_replace
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import (
    CaptionChange,
    CaptionEdits,
    Captions,
    Draft,
    Replaced,
    Replacement,
    TakenFile,
    UploadedVersion,
    VersionView,
)
from lorafleet.contracts.layout import ID

router = APIRouter(prefix=f"{paths.API}/datasets/{{dataset}}", tags=["uploads"])

DraftId = Annotated[str, Path(alias="draft", pattern=rf"^{ID}$")]

BaseVersion = Annotated[str | None, Query(pattern=rf"^{ID}$", description="The version to go on from.")]

_AT_ONCE = 4
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}
# Each upload holds a thread while its bytes come; the others wait, so that the rest of the console goes on.
_places = anyio.CapacityLimiter(_AT_ONCE)


@router.post("/uploads", status_code=201, openapi_extra=_FORM)
async def upload(request: Request, dataset: DatasetId, principal: Trainer, here: Here) -> UploadedVersion:
    """Upload files, folders or a zip archive as a new version."""
    stream = FormStream(parts(request))
    return await anyio.to_thread.run_sync(partial(_at_once, here, principal, dataset, stream), limiter=_places)


@router.post("/drafts", status_code=201)
def begin(dataset: DatasetId, principal: Trainer, here: Here, base: BaseVersion = None) -> Draft:
    """Begin an upload that goes on over several requests, at any console; with ``base``, from that version's files and captions."""
    record = here.ledger.datasets.version(principal.team, dataset, base) if base else None
    return Draft(draft=here.versions.begin(principal, dataset, record))


@router.post("/drafts/{draft}/uploads", openapi_extra=_FORM)
async def add(request: Request, dataset: DatasetId, draft: DraftId, principal: Trainer, here: Here) -> list[TakenFile]:
    """Add files to a draft; the answer says what became of each."""
    stream = FormStream(parts(request))

    def take() -> list[TakenFile]:
        with here.versions.draft(principal, dataset, draft) as intake:
            return _take(intake, stream)

    return await anyio.to_thread.run_sync(take, limiter=_places)


@router.get("/drafts/{draft}/captions")
def draft_captions(dataset: DatasetId, draft: DraftId, principal: Trainer, here: Here) -> Captions:
    """The captions of a draft's images so far."""
    with here.versions.draft(principal, dataset, draft) as intake:
        return Captions(captions=intake.captions())


@router.put("/drafts/{draft}/captions")
def edit_draft(dataset: DatasetId, draft: DraftId, body: CaptionEdits, principal: Trainer, here: Here) -> Captions:
    """Set captions of a draft's images by hand."""
    with here.versions.draft(principal, dataset, draft) as intake:
        intake.set_captions(body.captions)
        return Captions(captions=intake.captions())


@router.get("/drafts/{draft}/files/{name}", response_class=StreamingResponse, responses=FILE)
def draft_file(dataset: DatasetId, draft: DraftId, name: str, principal: Trainer, here: Here) -> Response:
    """An image of a draft."""
    item = here.versions.draft_object(principal, dataset, draft, name)
    return sent(here.stores, item.key, item.size, f'"{item.sha256}"')


@router.delete("/drafts/{draft}/files/{name}", status_code=204)
def remove_draft_file(dataset: DatasetId, draft: DraftId, name: str, principal: Trainer, here: Here) -> None:
    """Take a file out of a draft, and with an image the text file that belongs to it."""
    with here.versions.draft(principal, dataset, draft) as intake:
        intake.remove(name)


@router.post("/drafts/{draft}/finish", status_code=201)
def finish(dataset: DatasetId, draft: DraftId, principal: Trainer, here: Here) -> VersionView:
    """Make a version of a draft."""
    return version_view(here.versions.finish(principal, dataset, draft))


@router.delete("/drafts/{draft}", status_code=204)
def drop(dataset: DatasetId, draft: DraftId, principal: Trainer, here: Here) -> None:
    """Forget a draft."""
    here.versions.drop(principal, dataset, draft)


@router.delete("/versions/{version}/files/{name}")
def remove_file(dataset: DatasetId, version: VersionId, name: str, principal: Trainer, here: Here) -> VersionView:
    """Take a file out; the answer is a new version with the others, of which none is copied."""
    record = here.ledger.datasets.version(principal.team, dataset, version)
    return version_view(here.versions.without(principal, record, name))


@router.get("/versions/{version}/captions")
def captions(dataset: DatasetId, version: VersionId, principal: Viewer, here: Here) -> Captions:
    """The captions of a version's images."""
    return Captions(captions=here.versions.captions(here.ledger.datasets.version(principal.team, dataset, version)))


@router.post("/versions/{version}/captions", status_code=201)
def edit_captions(dataset: DatasetId, version: VersionId, body: CaptionEdits, principal: Trainer, here: Here) -> VersionView:
    """Change captions; the answer is a new version."""
    record = here.ledger.datasets.version(principal.team, dataset, version)
    return version_view(here.versions.with_captions(principal, record, body.captions))


@router.post("/versions/{version}/replace")
def replace(dataset: DatasetId, version: VersionId, body: Replacement, principal: Trainer, here: Here) -> Replaced:
    """Find and replace in all captions: a preview, or a new version."""
    record = here.ledger.datasets.version(principal.team, dataset, version)
    changes = find_replace(here.versions.captions(record), body.find, body.replace, body.regex)
    new = None
    if body.apply and changes:
        new = here.versions.with_captions(principal, record, {change.file: change.after for change in changes}).version
    shown = tuple(CaptionChange(name=change.file, before=change.before, after=change.after) for change in changes)
    return Replaced(changes=shown, version=new)


def _at_once(here: Services, principal: Principal, dataset: str, stream: FormStream) -> UploadedVersion:
    with here.versions.once(principal, dataset) as intake:
        taken = _take(intake, stream)
        record = here.versions.store(principal, dataset, intake.finish())
    left_out = tuple(file for file in taken if file.refused)
    return UploadedVersion(**version_view(record).model_dump(), left_out=left_out)


def _take(intake: Intake, stream: FormStream) -> list[TakenFile]:
    return [
        TakenFile(name=item.name, file=item.file, kind=item.kind, size=item.size, guess=item.guess, refused=item.refused)
        for name, content in stream.files()
        for item in intake.add(name, content)
    ]
