"""Reading Server-Sent Events, as the HTML standard describes the stream. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    """One event; ``id`` is None where it has none that is a number."""

    kind: str
    data: str
    id: int | None


def read_events(lines: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a stream's lines. One that the stream's end cut off is dropped."""
    kind, number = "message", None
    data: list[str] = []
    for line in lines:
        text = line.decode("utf-8", "replace")
        if not text:
            if data:
                yield ServerEvent(kind, "\n".join(data), number)
            kind, data, number = "message", [], None
            continue
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            number = int(value) if value.isdecimal() else None
