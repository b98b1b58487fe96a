"""The page of a new job: a card, a preset, one sentence of what it will take, and every key for who wants them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from lorafleet.console.api import jobs as api
from lorafleet.console.api.auth import Trainer, Viewer
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.estimate import estimate
from lorafleet.console.domain.records import DatasetRecord, Principal
from lorafleet.console.domain.refusals import NotFound
from lorafleet.console.web import presets
from lorafleet.console.web.config_text import as_command, as_yaml
from lorafleet.console.web.job_form import Asked, Filled, asked, essential, filled_from, groups
from lorafleet.console.web.language import Language
from lorafleet.console.web.preferences import done
from lorafleet.console.web.presets import Goal, Preset
from lorafleet.console.web.problem_wording import explained
from lorafleet.console.web.rendering import Look, Looks, fragment, page
from lorafleet.contracts.console_api import Estimate, Offer
from lorafleet.contracts.job_states import JobState

router = APIRouter(include_in_schema=False)

_MOST_DATASETS = 200
_FORM_FIELDS = 300


@dataclass(frozen=True)
class Card:
    """A goal to choose."""

    goal: str
    title: str
    text: str
    icon: str
    chosen: bool


@dataclass(frozen=True)
class PresetChoice:
    """A preset to choose."""

    id: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class OfferLine:
    """What a run would take on one kind of machine."""

    machine: str
    where: str
    time: str
    price: str
    spot: str
    fits: bool


@dataclass(frozen=True)
class Summary:
    """What a filled form asks for, before it is submitted."""

    sentence: str
    queue: str
    notes: tuple[str, ...]
    offers: tuple[OfferLine, ...]
    problems: tuple[tuple[str, str, str], ...]
    config: str
    command: str


@router.get("/jobs/new")
def new_job(request: Request, looks: Looks, principal: Trainer, here: Here) -> Response:
    """The form; the address's query fills it."""
    return _page(looks, principal, here, dict(request.query_params), secrets.token_urlsafe(12))


@router.post("/jobs/new/summary")
async def summary(request: Request, looks: Looks, principal: Viewer, here: Here) -> Response:
    """What the form asks for so far."""
    form = await _form(request)
    found = await run_in_threadpool(_summary, looks.language, principal, here, _filled(form))
    return fragment("job_summary.html", looks, {"summary": found})


@router.post("/jobs/new")
async def submit(request: Request, looks: Looks, principal: Trainer, here: Here) -> Response:
    """Submit it; where something is wrong the form comes back as it was filled."""
    form = await _form(request)
    return await run_in_threadpool(_submit, looks, principal, here, form)


def _submit(looks: Look, principal: Principal, here: Services, form: Mapping[str, str]) -> Response:
    wanted = asked(_filled(form))
    key = form.get("key") or secrets.token_urlsafe(12)
    if wanted.request is None:
        return _page(looks, principal, here, form, key, status=422)
    job = api.submit(wanted.request, principal, here, f"form {key[:100]}")
    return done(f"/jobs/{job.id}", "submitted")


def _page(looks: Look, principal: Principal, here: Services, form: Mapping[str, str], key: str, status: int = 200) -> Response:
    words = looks.language
    filled = _filled(form)
    rows = here.ledger.datasets.page(principal.team, None, _MOST_DATASETS).rows
    kind = "texts" if filled.goal is Goal.TEXT else "images"
    fitting = [row for row in rows if row.kind == kind and row.version is not None]
    found = _summary(words, principal, here, filled)
    problems = {where: what for where, what, _ in found.problems} if status != 200 else {}
    values = {
        "cards": _cards(words, filled.goal),
        "presets": tuple(
            PresetChoice(each.id, _preset_label(words, each), each.id == filled.preset) for each in presets.of_goal(filled.goal)
        ),
        "filled": filled,
        "datasets": tuple((row.id, row.name, row.id == filled.dataset) for row in fitting),
        "essential": essential(words, filled),
        "groups": groups(words, filled),
        "summary": found,
        "problems": problems,
        "key": key,
    }
    return page("new_job.html", looks, principal, values, status=status)


def _filled(form: Mapping[str, str]) -> Filled:
    preset = presets.find(form.get("preset", ""))
    goal = form.get("goal", preset.goal.value if preset else Goal.STYLE.value)
    if preset is None or preset.goal.value != goal:
        # Another card was chosen: its first preset, and what was filled in for the other is dropped.
        preset = presets.of_goal(Goal(goal) if goal in list(Goal) else Goal.STYLE)[0]
        form = {name: value for name, value in form.items() if name in ("name", "key") or (name == "dataset")}
    return filled_from(form, preset)


def _summary(words: Language, principal: Principal, here: Services, filled: Filled) -> Summary:
    wanted = asked(filled)
    rows = _rows(here, principal, filled.dataset)
    found = estimate(wanted.config, rows) if wanted.config is not None and rows else None
    request = wanted.request
    return Summary(
        sentence=_sentence(words, wanted, found, rows),
        queue=_queue(words, principal, here),
        notes=_notes(words, found),
        offers=tuple(_offer(words, offer) for offer in found.offers) if found else (),
        problems=tuple(
            (where, explained(words, problem.what), problem.hint if where == "" else "")
            for where, problem in wanted.problems.items()
        ),
        config=as_yaml(request.training) if request else "",
        command=as_command(
            request.dataset,
            request.name,
            request.training,
            gpus=request.gpus,
            min_memory_mib=request.min_memory_mib,
            priority=request.priority,
        )
        if request
        else "",
    )


def _sentence(words: Language, wanted: Asked, found: Estimate | None, rows: int | None) -> str:
    if wanted.problems:
        return words.ngettext(
            "%(count)s thing is missing or not right yet.", "%(count)s things are missing or not right yet.", len(wanted.problems)
        )
    if found is None or rows is None:
        return words.gettext("Choose a data set, and this line says what the run will take.")
    steps = words.ngettext("%(count)s step", "%(count)s steps", found.steps)
    examples = words.ngettext("%(count)s example", "%(count)s examples", found.rows)
    text = words.gettext("%(steps)s over %(examples)s.", steps=steps, examples=examples)
    best = next((offer for offer in found.offers if offer.fits), None)
    if best is None or found.memory_gib is None:
        return text
    cost = words.gettext(
        "About %(time)s and %(price)s on one %(gpu)s, with about %(memory)s GiB of GPU memory.",
        time=words.span(best.hours * 3600),
        price=words.money(best.on_demand, best.currency),
        gpu=best.gpu,
        memory=words.number(found.memory_gib, 1),
    )
    return words.sentences(text, cost)


def _queue(words: Language, principal: Principal, here: Services) -> str:
    waiting = len(here.ledger.jobs.page(principal.team, (JobState.WAITING,), None, 50).rows)
    workers = here.ledger.dispatcher.workers()
    if not workers:
        return words.gettext("No worker is connected now; the job waits until one is.")
    if waiting == 0 and any(worker.job is None for worker in workers):
        return words.gettext("A worker is free: it would start at once.")
    return words.ngettext("%(count)s job of your team waits before it.", "%(count)s jobs of your team wait before it.", waiting)


def _notes(words: Language, found: Estimate | None) -> tuple[str, ...]:
    if found is None:
        return ()
    if found.memory_gib is None:
        return (words.gettext("Time and memory of a language model depend on its size, so they are not guessed here."),)
    return (words.gettext("Time and memory are rough, a factor of two either way. Prices are list prices and never a bill."),)


def _offer(words: Language, offer: Offer) -> OfferLine:
    return OfferLine(
        machine=offer.gpu,
        where=f"{offer.cloud} {offer.region}",
        time=words.span(offer.hours * 3600),
        price=words.money(offer.on_demand, offer.currency),
        spot="" if offer.spot is None else words.money(offer.spot, offer.currency),
        fits=offer.fits,
    )


def _rows(here: Services, principal: Principal, dataset: str) -> int | None:
    if not dataset:
        return None
    try:
        record: DatasetRecord = here.ledger.datasets.get(principal.team, dataset)
        return None if record.version is None else here.ledger.datasets.version(principal.team, dataset, record.version).rows
    except NotFound:
        return None


def _cards(words: Language, chosen: Goal) -> tuple[Card, ...]:
    texts = {
        Goal.STYLE: (words.gettext("Style"), words.gettext("How pictures look: a painter's hand, a light, an era."), "brush"),
        Goal.CHARACTER: (
            words.gettext("Character"),
            words.gettext("One person, animal or thing that comes back when you call it."),
            "face",
        ),
        Goal.TEXT: (
            words.gettext("Text model"),
            words.gettext("How a language model answers: tone, form, a field's knowledge."),
            "text",
        ),
    }
    return tuple(Card(goal.value, *texts[goal], goal is chosen) for goal in Goal)


def _preset_label(words: Language, preset: Preset) -> str:
    return words.gettext("%(base)s on a GPU with %(memory)s GiB", base=preset.base, memory=preset.memory_gib)


async def _form(request: Request) -> dict[str, str]:
    async with request.form(max_files=0, max_fields=_FORM_FIELDS) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}
