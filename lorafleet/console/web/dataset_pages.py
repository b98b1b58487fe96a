"""Data sets: the list, and one version with its pictures, captions and findings."""

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from lorafleet.console.api import datasets as api
from lorafleet.console.api import uploads
from lorafleet.console.api.auth import Trainer, Viewer
from lorafleet.console.api.downloads import FILE_CSP
from lorafleet.console.api.parameters import After, DatasetId, ObjectName, VersionId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import DatasetRecord, Principal, Role, VersionRecord
from lorafleet.console.domain.refusals import NotFound
from lorafleet.console.uploads.decoder import thumbnail
from lorafleet.console.uploads.replacing import find_replace
from lorafleet.console.web import dataset_view as view
from lorafleet.console.web.findings_view import buckets, finding_lines, verdict
from lorafleet.console.web.preferences import done
from lorafleet.console.web.rendering import Look, Looks, fragment, may, page
from lorafleet.contracts.console_api import CaptionEdits, NewDataset, Replacement

router = APIRouter(include_in_schema=False)

_PAGE = 24
_THUMBNAIL_PIXELS = 320
_MOST_SHOWN = 200

Text = Annotated[str, Form(max_length=500)]


@router.get("/datasets")
def dataset_list(looks: Looks, principal: Viewer, here: Here, after: After = None) -> Response:
    """The team's data sets, newest first."""
    found = here.ledger.datasets.page(principal.team, after, _PAGE)
    now = here.ledger.now()
    lines = tuple(view.dataset_line(looks.language, row, _newest(here, principal, row), now) for row in found.rows)
    return page(
        "datasets.html", looks, principal, {"datasets": lines, "after": found.after, "may_train": may(principal, Role.TRAINER)}
    )


@router.post("/datasets")
def make(
    principal: Trainer,
    here: Here,
    name: Annotated[str, Form(min_length=1, max_length=200)],
    kind: Annotated[str, Form(pattern="^(images|texts)$")] = "images",
) -> Response:
    """Make an empty one, and go where files are dropped."""
    made = api.create(NewDataset.model_validate({"name": name, "kind": kind}), principal, here)
    return done(f"/datasets/{made.id}")


@router.get("/datasets/{dataset}")
def dataset_page(
    dataset: DatasetId,
    looks: Looks,
    principal: Viewer,
    here: Here,
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> Response:
    """A data set at its newest version."""
    record = here.ledger.datasets.get(principal.team, dataset)
    return _page(looks, principal, here, record, _newest(here, principal, record), number)


@router.get("/datasets/{dataset}/versions/{version}")
def version_page(
    dataset: DatasetId,
    version: VersionId,
    looks: Looks,
    principal: Viewer,
    here: Here,
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> Response:
    """A data set at one version."""
    record = here.ledger.datasets.get(principal.team, dataset)
    return _page(looks, principal, here, record, here.ledger.datasets.version(principal.team, dataset, version), number)


@router.post("/datasets/{dataset}/versions/{version}/captions")
async def save_captions(request: Request, dataset: DatasetId, version: VersionId, principal: Trainer, here: Here) -> Response:
    """Save the captions that were changed on a page, all of them as one new version."""
    async with request.form(max_files=0, max_fields=view.ON_A_PAGE + 8) as form:
        given = {
            name.removeprefix(view.CAPTION): " ".join(value.split())
            for name, value in form.items()
            if name.startswith(view.CAPTION) and isinstance(value, str)
        }
        number = str(form.get("page", "1"))
    return await run_in_threadpool(_save, here, principal, dataset, version, given, number if number.isdecimal() else "1")


@router.post("/datasets/{dataset}/versions/{version}/remove")
def remove(
    dataset: DatasetId, version: VersionId, principal: Trainer, here: Here, file: Annotated[str, Form(min_length=1, max_length=700)]
) -> Response:
    """Take a file out, which makes a new version."""
    uploads.remove_file(dataset, version, file, principal, here)
    return done(f"/datasets/{dataset}", "taken_out")


@router.post("/datasets/{dataset}/versions/{version}/replace")
def replace(
    dataset: DatasetId,
    version: VersionId,
    request: Request,
    looks: Looks,
    principal: Trainer,
    here: Here,
    find: Text = "",
    replacement: Text = "",
    apply: Annotated[bool, Form()] = False,
) -> Response:
    """Show what find and replace would change, or change it."""
    record = here.ledger.datasets.version(principal.team, dataset, version)
    if apply:
        found = uploads.replace(dataset, version, Replacement(find=find, replace=replacement, apply=True), principal, here)
        return done(f"/datasets/{dataset}", "captions" if found.version else "unchanged")
    changes = find_replace(here.versions.captions(record), find, replacement) if find else []
    values = {
        "dataset": dataset,
        "version": version,
        "find": find,
        "replacement": replacement,
        "changes": tuple(changes[:_MOST_SHOWN]),
        "total": len(changes),
    }
    if "hx-request" in request.headers:
        return fragment("replace_preview.html", looks, values)
    return page("replace.html", looks, principal, values)


@router.get("/datasets/{dataset}/versions/{version}/thumbnails/{name:path}")
def picture(dataset: DatasetId, version: VersionId, name: ObjectName, principal: Viewer, here: Here) -> Response:
    """A small picture, made of the stored one."""
    record = here.ledger.datasets.version(principal.team, dataset, version)
    item = record.by_name.get(name)
    if item is None:
        raise NotFound(f"version {version} has no picture '{name}'")
    headers = {"Content-Security-Policy": FILE_CSP, "Cache-Control": "private, max-age=31536000, immutable"}
    return Response(_small(here, item.key), media_type="image/webp", headers=headers)


def _page(
    looks: Look, principal: Principal, here: Services, record: DatasetRecord, version: VersionRecord | None, number: int
) -> Response:
    words, now = looks.language, here.ledger.now()
    values: dict[str, object] = {
        "dataset": view.dataset_line(words, record, version, now),
        "kind": record.kind,
        "version": version.version if version else "",
        "is_newest": version is None or version.version == record.version,
        "pictures": (),
        "page": number,
        "pages": 1,
        "findings": (),
        "verdict": "",
        "buckets": (),
        "files": (),
        "stores": "",
        "versions": (),
        "may_train": may(principal, Role.TRAINER),
    }
    if version is not None:
        findings = finding_lines(words, version.report)
        flagged = frozenset(name for line in findings for name in line.names)
        count = len(view.image_names(version))
        rows = here.ledger.datasets.versions(principal.team, record.id)
        values |= {
            "pictures": view.pictures(version, here.versions.captions(version), flagged, number) if count else (),
            "pages": max(1, -(-count // view.ON_A_PAGE)),
            "findings": findings,
            "verdict": verdict(words, findings),
            "buckets": buckets(words, version.report),
            "files": view.files(words, version) if not count else (),
            "stores": ", ".join(version.stores),
            "versions": view.version_lines(words, record, rows, version.version, now),
        }
    return page("dataset.html", looks, principal, values)


def _newest(here: Services, principal: Principal, record: DatasetRecord) -> VersionRecord | None:
    return None if record.version is None else here.ledger.datasets.version(principal.team, record.id, record.version)


def _save(here: Services, principal: Principal, dataset: str, version: str, given: dict[str, str], number: str) -> Response:
    record = here.ledger.datasets.version(principal.team, dataset, version)
    there = here.versions.captions(record)
    changed = {name: text for name, text in given.items() if name in there and there[name] != text}
    place = f"/datasets/{dataset}?page={number}"
    if not changed:
        return done(place, "unchanged")
    uploads.edit_captions(dataset, version, CaptionEdits(captions=changed), principal, here)
    return done(place, "captions")


def _small(here: Services, key: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        with path.open("wb") as file:
            for block in here.stores.find(key).read(key):
                file.write(block)
        return thumbnail(path, _THUMBNAIL_PIXELS)
