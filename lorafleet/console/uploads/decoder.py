"""Decoding pictures and parsing texts in processes of their own, with a time-out: a bomb costs one file, not the console."""

import atexit
import json
import os
import selectors
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import LifoQueue
from typing import Any

from lorafleet.console.uploads.limits import GIB, MIB
from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.text_checks import findings_of
from lorafleet.datasets.caption_sources import Captions
from lorafleet.datasets.checks import CheckReport

SECONDS = 20.0
MEMORY_BYTES = 2 * GIB
THUMBNAIL_SIZES = range(16, 1025)

_FILE_BYTES = 256 * MIB
_PROCESSES = 2
_ANSWER_BYTES = 64 * MIB


@dataclass(frozen=True)
class ImageFacts:
    """A stored picture. ``width`` and ``height`` are pixels, upright; ``suffix`` is that of its real format."""

    suffix: str
    width: int
    height: int
    dhash: int
    size: int
    sha256: str


class Decoder:
    """One such process, started when it is needed and again after it was killed. For one caller at a time."""

    def __init__(self, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def take(self, path: Path, out: Path, pixels: int, where: str) -> ImageFacts:
        """Check a picture and write it to ``out`` without metadata; ``where`` is its name for messages.

        Raises:
            UploadRefused: it is no picture that is taken.
        """
        found = self._ask(where, work="take", path=str(path), out=str(out), pixels=pixels)
        suffix = {"JPEG": ".jpg"}.get(found["format"], f".{found['format'].lower()}")
        return ImageFacts(suffix, found["width"], found["height"], found["dhash"], found["size"], found["sha256"])

    def thumbnail(self, path: Path, size: int, where: str) -> bytes:
        """A picture made to fit ``size`` x ``size`` pixels, as WebP, encoded anew.

        Raises:
            UploadRefused: it cannot be decoded.
        """
        return b64decode(self._ask(where, work="thumbnail", path=str(path), size=size)["image"])

    def substitute(self, texts: Mapping[str, str], find: str, replace: str) -> dict[str, str]:
        """Texts with a regular expression replaced.

        Raises:
            UploadRefused: the expression is wrong or takes too long.
        """
        found: dict[str, str] = self._ask("", work="substitute", texts=dict(texts), find=find, replace=replace)["texts"]
        return found

    def captions(self, table: Path, names: Sequence[str], where: str) -> Captions:
        """The captions that a table has for images of these names.

        Raises:
            UploadRefused: it takes too much to read it.
        """
        found = self._ask(where, work="captions", table=str(table), names=list(names))
        return Captions(found["texts"], findings_of(found["findings"]))

    def check(self, folder: Path, labels: Mapping[str, str], lora_rank: int) -> CheckReport:
        """The report of a text set, see :func:`.text_checks.check_text_files`.

        Raises:
            UploadRefused: it takes too much to read it.
        """
        found = self._ask("the text set", work="check", folder=str(folder), labels=dict(labels), lora_rank=lora_rank)
        return CheckReport(findings_of(found["findings"]), found["histogram"], found["count"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, where: str, **request: Any) -> dict[str, Any]:
        process = self._running()
        try:
            line = self._exchange(process, json.dumps(request).encode() + b"\n")
        except TimeoutError:
            self.close()
            raise UploadRefused(
                f"it takes longer than {self._seconds:g} s", where=where, hint="use a smaller or simpler one"
            ) from None
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            self.close()
            raise UploadRefused("it breaks the decoder", where=where, hint="save it anew with another program")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise UploadRefused(answer["refused"], where=where, hint="remove it, or save it anew")
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # No secret of the console's environment is in the child's; OpenBLAS would reserve memory for each core.
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
            module = "lorafleet.console.uploads.decoder_child"
            command = [sys.executable, "-P", "-m", module, str(self._memory_bytes), str(_FILE_BYTES)]
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        until, answer, unsent = time.monotonic() + self._seconds, bytearray(), memoryview(request)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n") and len(answer) < _ANSWER_BYTES:
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready:
                    raise TimeoutError
                for key, _ in ready:
                    if key.fileobj is process.stdin:
                        unsent = unsent[os.write(key.fd, unsent[: 64 << 10]) :]
                        if not unsent:
                            selector.unregister(process.stdin)
                    else:
                        block = os.read(key.fd, 1 << 20)
                        if not block:
                            return b""
                        answer += block
        return bytes(answer)


class DecoderPool:
    """Several decoders; whoever finds none free waits for one."""

    def __init__(self, make: Callable[[], Decoder] = Decoder, count: int = _PROCESSES) -> None:
        self._every = [make() for _ in range(count)]
        self._free: LifoQueue[Decoder] = LifoQueue()
        for decoder in self._every:
            self._free.put(decoder)

    @contextmanager
    def borrowed(self) -> Iterator[Decoder]:
        """One decoder for the block."""
        decoder = self._free.get()
        try:
            yield decoder
        finally:
            self._free.put(decoder)

    def close(self) -> None:
        """End the processes."""
        for decoder in self._every:
            decoder.close()


@cache
def decoders() -> DecoderPool:
    """The decoders of this process."""
    pool = DecoderPool()
    atexit.register(pool.close)
    return pool


def thumbnail(path: Path, size: int) -> bytes:
    """A picture made to fit ``size`` x ``size`` pixels, as WebP, encoded anew: nothing of the original's bytes is in it.

    Raises:
        UploadRefused: it cannot be decoded, or the size is none that is made.
    """
    if size not in THUMBNAIL_SIZES:
        raise UploadRefused(f"thumbnails have {THUMBNAIL_SIZES.start} to {THUMBNAIL_SIZES.stop - 1} pixels", where=path.name)
    with decoders().borrowed() as decoder:
        return decoder.thumbnail(path, size, path.name)
