"""The rules as Pulumi's policies. Importing this makes none: a PolicyPack serves until it is ended."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_policy import (
    Policy,
    PolicyProviderResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from infra.config import KEY
from infra.policy.reading import UNKNOWN, NotKnownYet
from infra.policy.rule import Resource, Rule, Stack, StackRule
from infra.policy.rules import RULES


def policies() -> list[Policy]:
    """One policy for each rule; its name is the rule's code."""
    return [_resource_policy(each) if isinstance(each, Rule) else _stack_policy(each) for each in RULES]


def _resource_policy(rule: Rule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(args.resource_type, args.name, _plain(args.props), args.opts.protect, _name(args.provider), args.urn)
        try:
            for what in rule.findings(resource):
                report(f"{what}: {rule.mend}", None)
        except NotKnownYet:
            return

    return ResourceValidationPolicy(rule.code, rule.title, validate, remediation_steps=rule.mend)


def _stack_policy(rule: StackRule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [
            Resource(each.resource_type, each.name, _plain(each.props), each.opts.protect, _name(each.provider), each.urn)
            for each in args.resources
        ]
        try:
            for resource, what in rule.findings(Stack(resources, configured_nodes())):
                report(f"{what}: {rule.mend}", resource.urn)
        except NotKnownYet:
            return

    return StackValidationPolicy(rule.code, rule.title, validate, remediation_steps=rule.mend)


def configured_nodes() -> Mapping[str, int]:
    """The most nodes of each GPU pool by the stack's configuration; empty where the stack has no pools."""
    namespace, key = KEY.split(":")
    site = pulumi.Config(namespace).get_object(key)
    pools = site.get("pools", ()) if isinstance(site, dict) else ()
    return {pool["name"]: pool["max"] for pool in pools}


def _name(provider: PolicyProviderResource | None) -> str:
    return provider.name if provider is not None else ""


def _plain(value: Any) -> Any:
    """A copy without the SDK's proxies, which raise where a value is not known."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(value, number) for number in range(len(value))]
    return value


def _item(value: Any, key: Any) -> Any:
    try:
        return _plain(value[key])
    except UnknownValueError:
        return UNKNOWN
