"""Pulumi's property values on the wire: unknown and secret ones, and the differences between two."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Literal

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc

Change = Literal["ADD", "DELETE", "UPDATE"]


def load(message: Struct) -> dict[str, Any]:
    """A message as Python values; a whole number is an int."""
    loaded: dict[str, Any] = _whole(json_format.MessageToDict(message))
    return loaded


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def dump(values: dict[str, Any]) -> Struct:
    return json_format.ParseDict(values, Struct())


def secret(value: Any) -> dict[str, Any]:
    """A value that the engine encrypts in its state."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(rpc._special_sig_key) == rpc._special_secret_sig


def plain(value: Any) -> Any:
    """A value without its secret wrappings."""
    if _is_secret(value):
        return plain(value["value"])
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Change]]:
    """Where two values differ, as Pulumi writes a property's path."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list):
        for number, (before, after) in enumerate(zip_longest(old, new)):
            yield from differences(before, after, f"{path}[{number}]")
    elif old != new:
        yield path, "ADD" if old is None else "DELETE" if new is None else "UPDATE"


def within(told: Any, asked: Any) -> Any:
    """What the cloud tells, cut down to what the program had asked for: the rest is the cloud's own, and no drift."""
    if isinstance(told, dict) and isinstance(asked, dict):
        return {key: within(told[key], value) for key, value in asked.items() if key in told}
    if isinstance(told, list) and isinstance(asked, list) and len(told) == len(asked):
        return [within(*pair) for pair in zip(told, asked, strict=True)]
    # Azure takes some lists that it answers as mappings.
    return asked if isinstance(told, dict | list) and type(told) is not type(asked) else told
