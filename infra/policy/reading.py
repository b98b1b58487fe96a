"""Reading a resource's properties, of which a preview does not know all."""

import json
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final


class NotKnownYet(Exception):
    """The value is the cloud's to give: the rule is held again when the stack is updated."""


class _Unknown:
    def __repr__(self) -> str:
        return "(not known yet)"


UNKNOWN: Final = _Unknown()
"""What stands for a value in a preview that nobody knows yet."""

_WIDEST = 8
_EVERYBODY = ("*", "any", "internet")


def at(value: Any, *path: str) -> Any:
    """The value at a path; None where there is none. A list on the way of one item, as some providers have it, is its item.

    Raises:
        NotKnownYet: it is not known yet.
    """
    for key in path:
        value = _object(value).get(key)
    if value is UNKNOWN:
        raise NotKnownYet
    return value


def given(value: Any, *path: str) -> bool:
    """Whether something stands at a path, known or not."""
    try:
        found = _object(at(value, *path[:-1])).get(path[-1])
    except NotKnownYet:
        return True
    return found is UNKNOWN or found not in (None, "", [], {})


def items(value: Any, *path: str) -> Sequence[Any]:
    """The list at a path; empty where there is none.

    Raises:
        NotKnownYet: the list, or an item of it, is not known yet.
    """
    found = at(value, *path)
    if found is None:
        return ()
    if any(each is UNKNOWN for each in found):
        raise NotKnownYet
    return list(found)


def known(value: Any, *path: str) -> list[Any]:
    """The items of a list that are known.

    Raises:
        NotKnownYet: the list itself is not known yet.
    """
    return [each for each in at(value, *path) or () if each is not UNKNOWN]


def statements(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """The statements of an AWS policy document at a path.

    Raises:
        NotKnownYet: the document is not known yet.
    """
    document = at(value, *path)
    found = json.loads(document)["Statement"] if document else []
    return [found] if isinstance(found, dict) else list(found)


def texts(value: Any) -> list[str]:
    """One text or several, as AWS writes actions and resources."""
    return [value] if isinstance(value, str) else list(value or ())


def open_to_the_world(addresses: str) -> bool:
    """Whether a range of addresses is wider than any organisation's (as INF122 has it)."""
    if addresses.casefold() in _EVERYBODY:
        return True
    try:
        network = ip_network(addresses, strict=False)
    except ValueError:
        return False
    return network.prefixlen < _WIDEST


def no(value: Any, what: str) -> Iterator[str]:
    """Yield ``what`` where a value is not exactly True."""
    if value is not True:
        yield what


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is UNKNOWN:
        raise NotKnownYet
    return value if isinstance(value, Mapping) else {}
