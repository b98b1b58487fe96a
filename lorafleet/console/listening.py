"""The listening socket of a server of ours, and its address as a URL has it."""

import contextlib
import socket
from collections.abc import Iterator

from lorafleet.contracts.problems import UnavailableError

_BACKLOG = 512


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket; port 0 takes a free one.

    Raises:
        UnavailableError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise UnavailableError(f"cannot listen: {error.strerror}", where=f"{host}:{port}", hint="use another --port") from None
        listener.listen(_BACKLOG)
        yield listener


def http_url(host: str, port: int) -> str:
    """``http://host:port``, with the brackets that an IPv6 address needs."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
