"""Sending objects of the stores to people. Nothing of it may run in a browser, whatever it holds."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from lorafleet.console.api.auth import Viewer
from lorafleet.console.api.parameters import DatasetId, Fence, JobId, ObjectName, Step, VersionId
from lorafleet.console.api.services import Here
from lorafleet.console.api.views import output_prefix
from lorafleet.console.domain.refusals import NotFound
from lorafleet.console.objects.errors import ObjectMissing
from lorafleet.console.objects.stores import Stores
from lorafleet.contracts import layout, paths
from lorafleet.contracts.problems import ConfigError

router = APIRouter(prefix=paths.API, tags=["files"])

FILE_CSP = "sandbox; default-src 'none'"
# A browser shows these as pictures only; everything else is bytes to it.
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}
_BYTES = "application/octet-stream"
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/jobs/{job}/outputs/{name:path}", response_class=StreamingResponse, responses=FILE)
def output(job: JobId, name: ObjectName, principal: Viewer, here: Here) -> Response:
    """A finished file of a job."""
    record = here.ledger.jobs.get(principal.team, job)
    for item in record.outputs:
        if item.key.removeprefix(output_prefix(item.key)) == name:
            return sent(here.stores, item.key, item.size, f'"{item.sha256}"')
    raise NotFound(f"job {job} has no finished file '{name}'")


@router.get("/jobs/{job}/samples/{fence}/{step}/{name:path}", response_class=StreamingResponse, responses=FILE)
def sample(job: JobId, fence: Fence, step: Step, name: ObjectName, principal: Viewer, here: Here) -> Response:
    """A sample that a job made while it trained."""
    here.ledger.jobs.get(principal.team, job)
    try:
        return sent(here.stores, _key(layout.sample_object, job, fence, step, name), None, None)
    except ObjectMissing:
        raise NotFound(f"job {job} has no sample '{name}' of this step") from None


@router.get("/datasets/{dataset}/versions/{version}/files/{name:path}", response_class=StreamingResponse, responses=FILE)
def dataset_file(dataset: DatasetId, version: VersionId, name: ObjectName, principal: Viewer, here: Here) -> Response:
    """A file of a data set version."""
    record = here.ledger.datasets.version(principal.team, dataset, version)
    item = record.by_name.get(name)
    if item is None:
        raise NotFound(f"version {version} has no file '{name}'")
    return sent(here.stores, item.key, item.size, f'"{item.sha256}"')


def _key(make: Callable[[str, int, int, str], str], job: str, fence: int, step: int, name: str) -> str:
    try:
        return make(job, fence, step, name)
    except ConfigError as error:
        raise NotFound("there is no such file") from error


def sent(stores: Stores, key: str, size: int | None, etag: str | None) -> Response:
    """An object as a download. Raises NotFound, and ObjectMissing where no store has it."""
    store = stores.find(key)
    if size is None:
        facts = store.head(key)
        if facts is None:
            raise NotFound("there is no such file")
        size = facts.size
    name = key.rpartition("/")[2]
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": FILE_CSP,
        "Content-Length": str(size),
        "Cache-Control": "private, no-store" if etag is None else "private, max-age=3600, immutable",
    }
    if etag is not None:
        headers["ETag"] = etag
    media_type = _PICTURES.get(PurePosixPath(name).suffix.lower(), _BYTES)
    return StreamingResponse(store.read(key), headers=headers, media_type=media_type)
