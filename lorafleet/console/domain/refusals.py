"""Why the console refuses a request. The API gives each its HTTP status, see :mod:`lorafleet.console.api.problems`."""

from lorafleet.contracts.problems import LorafleetError


class Refusal(LorafleetError):
    """Base: the request was understood and is refused; nothing was changed."""

    status = 400


class NotFound(Refusal):
    """There is no such thing, or it belongs to another team, which looks the same."""

    status = 404


class Unauthorized(Refusal):
    """No token, or one that is unknown, expired or revoked."""

    status = 401


class Forbidden(Refusal):
    """The token is good, but not for this."""

    status = 403


class Conflict(Refusal):
    """The thing's state does not allow it now."""

    status = 409


class Fenced(Conflict):
    """A newer lease holds the job, or the lease has ended: the sender must write nothing more. ``job`` and ``fence`` name its lease."""

    def __init__(self, what: str, *, hint: str = "", job: str = "", fence: int = 0) -> None:
        super().__init__(what, hint=hint)
        self.job = job
        self.fence = fence


class Unprocessable(Refusal):
    """The content is wrong."""

    status = 422


class TooMuch(Refusal):
    """A quota or rate is used up."""

    status = 429
