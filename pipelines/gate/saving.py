"""Saving one pipeline so that it is known what came of it.

Gate answers 400 whatever went wrong, and also where the save's task still runs after 32 s. So each save is read back, and posted
again only once the read-back shows that it was not done.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.client import Gate, Json
from pipelines.gate.normal import normal, same
from pipelines.gate.plan import Change, base_of
from pipelines.gate.tasks import failure, finished
from pipelines.rest import ServiceError, Unreachable, Unwell

_POSTS = 3
# Front50 answers from a cache that it refreshes every few seconds.
_READ_BACKS = 5
_STILL_RUNS = re.compile(r"Pipeline save operation did not succeed: (\S+) \(status: (?:RUNNING|NOT_STARTED)\)")
_NO_RIGHT = ("403", "access is denied", "forbidden", "unauthorized")


class Stale(LorafleetError):
    """Somebody changed the pipeline since the plan was made."""


class NotSaved(LorafleetError):
    """Gate refused the pipeline; the line says which of the many reasons it was."""


class Unknown(LorafleetError):
    """It could not be found out whether the pipeline was saved."""

    exit_code = ExitCode.UNAVAILABLE


def apply(gate: Gate, application: str, change: Change, secret: str | None) -> None:
    """Save or delete one pipeline, as planned, and read it back; what is done already is not done again.

    ``change.pipeline`` has its secrets in place.

    Raises:
        Stale: Gate holds something else than when the plan was made.
        NotSaved: Gate refused it.
        Unknown: the connection broke, and the read-back failed too.
        ServiceError: Gate cannot be asked at all.
    """
    if change.pipeline is None:
        _delete(gate, application, change)
    else:
        _Save(gate, application, change, change.pipeline, secret).carry_out()


def refuse_stale(change: Change, held: Mapping[str, Any] | None) -> None:
    """See that Gate holds what it did when the plan was made. The stamp says nothing of that: saving the same again moves it.

    Raises:
        Stale: it does not.
    """
    base = change.base
    if base is None:
        if held is not None:
            raise Stale(f"'{change.name}' came to be in Gate since the plan was made{_by(held)}", hint="make a new plan")
    elif held is None:
        raise Stale(f"'{base.name}' was deleted or renamed in Gate since the plan was made", hint="make a new plan")
    elif base_of(held).fingerprint != base.fingerprint:
        raise Stale(f"'{base.name}' was changed in Gate since the plan was made{_by(held)}", hint="make a new plan")


@dataclass(frozen=True)
class _Save:
    gate: Gate
    application: str
    change: Change
    pipeline: Mapping[str, Any]
    secret: str | None

    def carry_out(self) -> None:
        held = self._held()
        if self._is_saved(held):
            return
        refuse_stale(self.change, held)
        for attempt in range(1, _POSTS + 1):
            error = self._post(held)
            now = self._read_back(held, error)
            if self._is_saved(now):
                return
            if error is None:
                raise self._not_as_saved(held, now)
            refuse_stale(self.change, now)
            if not isinstance(error, Unreachable | Unwell) or attempt == _POSTS:
                raise self._explained(error)
            self.gate.rest.sleep(self.gate.rest.pace.before(attempt))
            held = now

    def _held(self) -> Json | None:
        # By the new name first: a rename may have been carried out before.
        found = self.gate.pipeline(self.application, self.change.name)
        if found is None and self.change.base is not None and self.change.base.name != self.change.name:
            found = self.gate.pipeline(self.application, self.change.base.name)
        return found

    def _is_saved(self, held: Json | None) -> bool:
        if held is None or held.get("id") != self.pipeline["id"]:
            return False
        return same(normal(held, secret=self.secret), normal(self.pipeline, secret=self.secret))

    def _post(self, held: Json | None) -> ServiceError | None:
        stamp = held.get("updateTs") if held is not None else None
        try:
            self.gate.save(self.pipeline, None if stamp is None else str(stamp))
        except ServiceError as error:
            running = _STILL_RUNS.search(error.text)
            if running is None:
                return error
            task = finished(self.gate, running[1])
            if task.get("status") == "SUCCEEDED":
                return None
            said = failure(task)
            return ServiceError(f"Gate refuses this: {said}", status=400, text=said)
        return None

    def _read_back(self, before: Json | None, after: ServiceError | None) -> Json | None:
        final = after is not None and not isinstance(after, Unreachable | Unwell) and (after.status != 400 or bool(after.text))
        now: Json | None = None
        for attempt in range(1 if final else _READ_BACKS):
            if attempt:
                self.gate.rest.sleep(self.gate.rest.pace.poll)
            try:
                now = self._held()
            except (Unreachable, Unwell) as error:
                name = self.change.name
                if after is None:
                    what = f"'{name}' was saved, but could not be read back: {error}"
                else:
                    what = f"it is not known whether '{name}' was saved: {after}, and then {error}"
                raise Unknown(what, hint="run the same command again once Gate is well") from None
            if self._is_saved(now) or not _alike(now, before):
                break
        return now

    def _not_as_saved(self, before: Json | None, now: Json | None) -> LorafleetError:
        name = self.change.name
        if _alike(now, before):
            return NotSaved(
                f"Gate said that '{name}' was saved, but does not show it",
                hint="look into Front50, then run the same command again",
            )
        return Stale(
            f"'{name}' was saved, but Gate holds something else now: somebody changed it at the same time{_by(now)}",
            hint="make a new plan",
        )

    def _explained(self, error: ServiceError) -> LorafleetError:
        """Which of the things that Gate's 400 stands for it was, from what Gate said and from what it holds."""
        if error.status != 400:
            return error
        name, text = self.change.name, error.text.lower()
        said = f"; Gate said: {error.text}" if error.text else "; Gate did not say why"
        if twin := self._twin():
            return NotSaved(
                f"'{name}' was not saved: {self.application} has a pipeline '{twin}' with another id{said}",
                hint="rename or delete it there, or make a new plan, which takes over its id if it is ours",
            )
        if "stale" in text:
            return Stale(f"'{name}' was not saved: Gate holds a newer version{said}", hint="make a new plan")
        if any(words in text for words in _NO_RIGHT):
            return NotSaved(
                f"'{name}' was not saved: the credentials may not write to {self.application}{said}",
                hint="give their account WRITE on the application",
            )
        return NotSaved(
            f"'{name}' was not saved, Gate still holds what it did before{said}",
            hint="" if error.text else "look for the task 'Save pipeline' in Orca's or Front50's log",
        )

    def _twin(self) -> str | None:
        # Front50 compares names without regard to case.
        for other in self.gate.pipelines(self.application):
            if str(other.get("name", "")).casefold() == self.change.name.casefold() and other.get("id") != self.pipeline["id"]:
                return str(other["name"])
        return None


def _delete(gate: Gate, application: str, change: Change) -> None:
    held = gate.pipeline(application, change.name)
    if held is None:
        return
    refuse_stale(change, held)
    for attempt in range(1, _POSTS + 1):
        try:
            gate.delete(application, change.name)
        except (Unreachable, Unwell):
            # Deleting twice does no harm.
            if attempt == _POSTS:
                raise
            gate.rest.sleep(gate.rest.pace.before(attempt))
        else:
            break
    for _ in range(_READ_BACKS):
        if gate.pipeline(application, change.name) is None:
            return
        gate.rest.sleep(gate.rest.pace.poll)
    raise NotSaved(f"'{change.name}' was not deleted, although Gate said so", hint="look for it in Spinnaker")


def _alike(one: Json | None, other: Json | None) -> bool:
    if one is None or other is None:
        return one is other
    return base_of(one).fingerprint == base_of(other).fingerprint


def _by(held: Mapping[str, Any] | None) -> str:
    person = (held or {}).get("lastModifiedBy")
    return f", last by {person}" if person else ""
