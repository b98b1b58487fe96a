"""Reading ``multipart/form-data`` as it comes, so that an upload of any size needs no memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from lorafleet.console.domain.refusals import Unprocessable

_HEADER_BYTES = 8192


@dataclass(frozen=True)
class PartBegins:
    """A part of the form begins; what follows until the next one is its content. ``filename`` is None for a plain field."""

    name: str
    filename: str | None


async def parts(request: Request) -> AsyncIterator[PartBegins | bytes]:
    """The parts of a request's form: each begins, then its content in pieces.

    Raises:
        Unprocessable: the body is no such form.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Unprocessable("send the files as multipart/form-data", where="Content-Type")
    reader = _Reader(boundary)
    try:
        async for chunk in request.stream():
            for found in reader.feed(chunk):
                yield found
        reader.end()
    except (FormParserError, UnicodeDecodeError):
        raise Unprocessable("the body is no well-formed multipart/form-data", where="body") from None


class _Reader:
    def __init__(self, boundary: bytes) -> None:
        self._found: list[PartBegins | bytes] = []
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._field,
                "on_header_value": self._text,
                "on_header_end": self._header,
                "on_headers_finished": self._begin,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[PartBegins | bytes]:
        self._found = []
        self._parser.write(chunk)
        return self._found

    def end(self) -> None:
        self._parser.finalize()
        if not self._ended:
            raise FormParserError("the form's last boundary is missing")

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._limit(self._name)

    def _text(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._limit(self._value)

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename")
        self._found.append(
            PartBegins(options.get(b"name", b"").decode(), None if filename is None else filename.decode("utf-8", "replace"))
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _end(self) -> None:
        self._ended = True

    def _limit(self, text: bytes) -> None:
        if len(text) > _HEADER_BYTES:
            raise FormParserError("a header of the form is too long")
