"""The first page: what needs a person, what runs now, and how the sites are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Response

from lorafleet.console.api.auth import Viewer
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import JobRecord, Principal, Role
from lorafleet.console.web import fleet_view
from lorafleet.console.web.job_view import JobLine, line
from lorafleet.console.web.language import Language
from lorafleet.console.web.rendering import Look, Looks, fragment, may, page
from lorafleet.contracts.job_states import JobState

router = APIRouter(include_in_schema=False)

_LATELY = timedelta(days=3)
_MOST = 8


@dataclass(frozen=True)
class Attention:
    """Something that a person should look at. ``tone`` is a colour's name, ``label`` says the same."""

    job: JobLine
    label: str
    tone: str


@router.get("/")
def home(looks: Looks, principal: Viewer, here: Here) -> Response:
    """The first page."""
    return page("home.html", looks, principal, _values(looks, principal, here))


@router.get("/live")
def live(looks: Looks, principal: Viewer, here: Here) -> Response:
    """Its changing part, which the page asks for every few seconds."""
    return fragment("home_live.html", looks, _values(looks, principal, here))


def _values(looks: Look, principal: Principal, here: Services) -> dict[str, object]:
    words, now = looks.language, here.ledger.now()
    jobs, team = here.ledger.jobs, principal.team

    def rows(state: JobState) -> list[JobRecord]:
        return list(jobs.page(team, (state,), None, _MOST).rows)

    running, waiting, failed, finished = (
        rows(state) for state in (JobState.RUNNING, JobState.WAITING, JobState.FAILED, JobState.SUCCEEDED)
    )
    failed = [row for row in failed if row.ended_at is not None and now - row.ended_at < _LATELY]
    finished = [row for row in finished if row.ended_at is not None and now - row.ended_at < _LATELY]
    dispatcher = here.ledger.dispatcher

    def shown(row: JobRecord) -> JobLine:
        attempts = jobs.attempts(team, row.id) if row.state is JobState.RUNNING else ()
        return line(words, row, now, attempts[-1] if attempts else None)

    return {
        "attention": _attention(words, running, waiting, failed, shown),
        "running": tuple(shown(row) for row in running),
        "waiting": tuple(shown(row) for row in waiting),
        "finished": tuple(shown(row) for row in finished),
        "sites": fleet_view.site_lines(words, dispatcher.sites(), dispatcher.desired_workers(), now, here.settings.lease_lifetime),
        "is_new": not (running or waiting or failed or finished) and not here.ledger.datasets.page(team, None, 1).rows,
        "may_train": may(principal, Role.TRAINER),
    }


def _attention(
    words: Language,
    running: list[JobRecord],
    waiting: list[JobRecord],
    failed: list[JobRecord],
    shown: Callable[[JobRecord], JobLine],
) -> tuple[Attention, ...]:
    found = [Attention(shown(row), words.gettext("Failed"), "bad") for row in failed]
    found += [Attention(shown(row), words.gettext("Unknown"), "warn") for row in running if row.unknown_since is not None]
    stuck = [row for row in waiting if row.waiting_for.startswith("No worker")]
    found += [Attention(shown(row), words.gettext("Cannot start"), "warn") for row in stuck]
    return tuple(found[:_MOST])
