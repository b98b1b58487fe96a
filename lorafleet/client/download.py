"""Saving a file that the console sends."""

import hashlib
from pathlib import Path

import requests

from lorafleet.client.refusals import unreachable
from lorafleet.contracts.problems import StorageError
from lorafleet.whole_files import replacing

_BLOCK = 1 << 20


def save_as(answer: requests.Response, target: Path) -> int:
    """Write an answer's body to ``target``, whole or not at all, and give its size in bytes.

    Raises:
        StorageError: it cannot be written, or is not what the answer's Content-Length and ETag (its SHA-256) say.
        ConsoleUnreachable: the connection broke.
    """
    digest, size = hashlib.sha256(), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            with part.open("wb") as file:
                for block in answer.iter_content(_BLOCK):
                    file.write(block)
                    digest.update(block)
                    size += len(block)
            said = answer.headers.get("ETag", "").strip('"')
            if said and digest.hexdigest() != said:
                raise StorageError("the bytes do not match their SHA-256", where=str(target), hint="download it again")
    except requests.RequestException as error:
        raise unreachable(error, answer.url.split("?")[0]) from None
    except OSError as error:
        raise StorageError(f"cannot write: {error.strerror}", where=str(target)) from None
    return size
