"""How a run is shown while it goes on: live in a terminal, as lines where there is none, as JSON lines for machines."""

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from time import monotonic
from typing import Any, Protocol

from infra.engine.events import Finding, Message, Step, Summary, Told

_DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "create-replacement": "created anew",
    "delete-replaced": "deleted the old",
    "import": "taken over",
}
_SHOWN_RUNNING = 6


class Show(Protocol):
    """Where a run is shown."""

    def stack(self, operation: str, stack: str) -> None:
        """A stack's turn has come."""

    def told(self, told: Told) -> None:
        """The engine told something of it."""

    def say(self, line: str) -> None:
        """A word of our own."""

    def asking(self) -> AbstractContextManager[None]:
        """While a person is asked, nothing moves."""


class JsonLines:
    """One JSON object a line, each with its event's name and its stack."""

    def __init__(self) -> None:
        self._stack = ""

    def stack(self, operation: str, stack: str) -> None:
        """See :class:`Show`."""
        self._stack = stack
        self._print("stack", {"operation": operation})

    def told(self, told: Told) -> None:
        """See :class:`Show`."""
        self._print(type(told).__name__.lower(), asdict(told))

    def say(self, line: str) -> None:
        """See :class:`Show`."""
        self._print("note", {"text": line})

    def asking(self) -> AbstractContextManager[None]:
        """See :class:`Show`."""
        return nullcontext()

    def _print(self, event: str, fields: dict[str, Any]) -> None:
        print(json.dumps({"event": event, "stack": self._stack, **fields}, ensure_ascii=False), flush=True)


class Lines:
    """Plain lines: what is done, what failed, what was said."""

    def stack(self, operation: str, stack: str) -> None:
        """See :class:`Show`."""
        self.say(f"{operation} {stack}")

    def told(self, told: Told) -> None:
        """See :class:`Show`."""
        line = line_of(told)
        if line:
            self.say(line)

    def say(self, line: str) -> None:
        """See :class:`Show`."""
        print(line, flush=True)

    def asking(self) -> AbstractContextManager[None]:
        """See :class:`Show`."""
        return nullcontext()


def line_of(told: Told) -> str:
    """What is told in one line; nothing for what only a live view shows."""
    match told:
        case Step(phase="planned") | Step(phase="done"):
            word = told.op if told.phase == "planned" else _DONE.get(told.op, told.op)
            changed = f": {', '.join(told.changed)}" if told.changed and told.op in ("update", "replace") else ""
            return f"  {word} {told.type} {told.name}{changed}"
        case Step(phase="failed"):
            return f"  FAILED to {told.op} {told.type} {told.name}"
        case Message():
            return f"  {told.severity}: {_one_line(told.text)}" + (f" ({told.resource})" if told.resource else "")
        case Finding():
            word = "policy" if told.mandatory else "advice"
            return f"  {word} {told.rule}: {_one_line(told.text)} ({told.resource})"
        case Summary():
            counts = ", ".join(f"{count} {op}" for op, count in sorted(told.changes.items()))
            return f"  {counts or 'nothing'} in {told.seconds} s"
        case _:
            return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Live(Lines):
    """Lines as they are done, and below them what goes on, with its time."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._running: dict[tuple[str, str], tuple[str, float]] = {}

    def told(self, told: Told) -> None:
        """See :class:`Show`."""
        if isinstance(told, Step) and told.phase != "planned":
            if told.phase == "begun":
                self._running[told.type, told.name] = (told.op, monotonic())
            else:
                self._running.pop((told.type, told.name), None)
            self._view.refresh()
        super().told(told)

    def say(self, line: str) -> None:
        """See :class:`Show`."""
        self._view.console.print(line, markup=False, highlight=False)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """See :class:`Show`."""
        self._view.stop()
        try:
            yield
        finally:
            self._view.start()

    def __rich__(self) -> str:
        now = monotonic()
        shown = [
            f"  … {op} {kind} {name} ({now - since:.0f} s)"
            for (kind, name), (op, since) in list(self._running.items())[:_SHOWN_RUNNING]
        ]
        more = len(self._running) - _SHOWN_RUNNING
        return "\n".join([*shown, *([f"  … and {more} more"] if more > 0 else [])])


@contextmanager
def showing(*, as_json: bool) -> Iterator[Show]:
    """A view for the time of a run."""
    if as_json:
        yield JsonLines()
    elif not sys.stdout.isatty():
        yield Lines()
    else:
        from rich.live import Live as LiveView

        with LiveView(refresh_per_second=4, transient=True) as view:
            live = Live(view)
            view.update(live)
            yield live
