"""The SDKs' own annotations: the classes of a resource's type token, its inputs and its outputs."""

import collections.abc
import enum
import functools
import importlib
import inspect
import sys
import types
import typing
from typing import Any

import pulumi
from pulumi._types import input_type_py_to_pulumi_names, input_type_types, is_output_type, output_type_types, resource_types

_PACKAGES = {"aws": "pulumi_aws", "gcp": "pulumi_gcp", "azure-native": "pulumi_azure_native", "kubernetes": "pulumi_kubernetes"}


@functools.cache
def resource_class(token: str) -> type:
    """The class behind a token such as ``aws:eks/cluster:Cluster``."""
    package, module, name = token.split(":")
    if (package, module) == ("pulumi", "providers"):
        return typing.cast(type, importlib.import_module(_PACKAGES[name]).Provider)
    folder, _, version = module.partition("/")
    if package == "kubernetes":
        # kubernetes:networking.k8s.io/v1:NetworkPolicy
        folder = f"{folder.split('.')[0]}.{version}"
    return typing.cast(type, getattr(importlib.import_module(f"{_PACKAGES[package]}.{folder}"), name))


@functools.cache
def inputs_class(token: str) -> type:
    """The class of a resource's inputs: the first that its module exports."""
    module = sys.modules[resource_class(token).__module__]
    return typing.cast(type, next(getattr(module, name) for name in module.__all__ if name.endswith("Args")))


@functools.cache
def inputs_of(cls: type) -> dict[str, Any]:
    """Types of an input class by their names on the wire."""
    return dict(input_type_types(cls))


@functools.cache
def required_of(cls: type) -> set[str]:
    """The names on the wire that an input class cannot do without."""
    wire = input_type_py_to_pulumi_names(cls)
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {wire[each.name] for each in parameters if each.name in wire and each.default is inspect.Parameter.empty}


@functools.cache
def outputs_of(cls: type) -> dict[str, Any]:
    """Types of a resource's or nested value's outputs by their names on the wire."""
    return dict(output_type_types(cls) if is_output_type(cls) else resource_types(cls))


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """What a value of this annotation may be, without the wrappings of Pulumi's inputs."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return tuple(part for each in typing.get_args(annotation) for part in alternatives(each))
    if origin is collections.abc.Awaitable or origin is pulumi.Output or annotation in (type(None), pulumi.Output):
        return ()
    return (annotation,)


def element(annotation: Any) -> Any:
    """The type of a list's items or a mapping's values; None where the annotation is neither."""
    origin = typing.get_origin(annotation)
    return typing.get_args(annotation)[-1] if origin in (collections.abc.Sequence, collections.abc.Mapping, list, dict) else None


def is_list(annotation: Any) -> bool:
    """Whether a value is a list."""
    return typing.get_origin(annotation) in (collections.abc.Sequence, list)


def is_mapping(annotation: Any) -> bool:
    """Whether a value is a mapping with free keys."""
    return typing.get_origin(annotation) in (collections.abc.Mapping, dict)


def is_enum(annotation: Any) -> bool:
    """Whether a value is one of an enumeration."""
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)
