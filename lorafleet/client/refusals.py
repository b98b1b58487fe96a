"""What the console's refusals are to a person at the command line."""

from http import HTTPStatus

import requests
from pydantic import ValidationError

from lorafleet.contracts.console_api import ProblemDetails
from lorafleet.contracts.problems import LorafleetError, Problem, UnavailableError


class ConsoleUnreachable(UnavailableError):
    """No answer, or one that says to come again later."""


class ConsoleRefused(LorafleetError):
    """The console says no, in its own words; ``status`` is the answer's."""

    def __init__(self, problems: list[Problem], status: int) -> None:
        super().__init__(problems)
        self.status = status


class UnexpectedAnswer(LorafleetError):
    """Whatever answers there is no console of this version."""


def raise_for_problem(answer: requests.Response) -> None:
    """Raise what an answer says, or nothing where it is good.

    Raises:
        ConsoleUnreachable: it says to come again later (429, 5xx).
        ConsoleRefused: it says no.
    """
    status = answer.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    try:
        said = ProblemDetails.model_validate_json(answer.content)
    except ValidationError:
        said = None
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ConsoleUnreachable(f"the console answers {status}: {said.detail if said else answer.reason}", hint="try again later")
    if said is None:
        raise ConsoleRefused([Problem(f"the console answers {status}", hint="is this its address?")], status)
    problems = [Problem(line.what, line.where, line.hint) for line in said.problems]
    raise ConsoleRefused(problems or [Problem(said.detail)], status)


def unreachable(error: requests.RequestException, url: str) -> ConsoleUnreachable:
    """What a failed request means; the error's own text may hold more of the address than is to be shown."""
    if isinstance(error, requests.exceptions.SSLError):
        return ConsoleUnreachable("its certificate is not trusted", where=url)
    if isinstance(error, requests.Timeout):
        return ConsoleUnreachable("the console does not answer in time", where=url)
    return ConsoleUnreachable("the console cannot be reached", where=url, hint="is it running? 'lorafleet serve' starts one")
