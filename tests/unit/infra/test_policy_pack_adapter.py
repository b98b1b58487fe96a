"""The rules as Pulumi's policies, called as its analyzer calls them: with proxies that raise at whatever is not known yet."""

import contextvars
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from policy_runs import PROGRAMS, stack_of
from pulumi.runtime.config import set_all_config
from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_ARRAY_VALUE, UNKNOWN_STRING_VALUE, unknown_checking_proxy
from recorded_program import example

from infra.config import KEY
from infra.policy.pack import configured_nodes, policies
from infra.policy.rule import Resource, Stack
from infra.policy.rules import RULES

T = TypeVar("T")
POLICIES = {policy.name: policy for policy in policies()}
BUCKET, LOGS = "gcp:storage/bucket:Bucket", "aws:cloudwatch/logGroup:LogGroup"


def configured(values: dict[str, str], call: Callable[[], T]) -> T:
    """Call where the stack's configuration is this."""

    def run() -> T:
        set_all_config(values)
        return call()

    return contextvars.copy_context().run(run)


AWS = {KEY: example("aws").model_dump_json(exclude_none=True)}


def options(resource: Resource) -> PolicyResourceOptions:
    return PolicyResourceOptions(resource.protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


def provider(resource: Resource) -> PolicyProviderResource | None:
    return PolicyProviderResource("pulumi:providers:x", {}, "urn", resource.provider) if resource.provider else None


def held(stack: Stack) -> list[str]:
    """Every message that the policies report of a stack, with the policy's name."""
    found: list[str] = []
    for name, policy in POLICIES.items():

        def report(message: str, urn: str | None = None, name: str = name) -> None:
            found.append(f"{name} {message}")

        if isinstance(policy, ResourceValidationPolicy):
            for each in stack.resources:
                props = unknown_checking_proxy(dict(each.props))
                args = ResourceValidationArgs(each.type, props, each.urn, each.name, options(each), provider(each))
                policy.validate(args, report)
        else:
            assert isinstance(policy, StackValidationPolicy)
            resources = [
                PolicyResource(
                    each.type,
                    unknown_checking_proxy(dict(each.props)),
                    each.urn,
                    each.name,
                    options(each),
                    provider(each),
                    None,
                    [],
                    {},
                )
                for each in stack.resources
            ]
            policy.validate(StackValidationArgs(resources), report)
    return found


def bucket(**changes: Any) -> Resource:
    (found,) = (each for each in stack_of("gcp").resources if each.type == BUCKET)
    return Resource(BUCKET, "store", {**found.props, **changes}, protect=True, provider="gcp")


def test_each_rule_is_a_policy_under_its_code() -> None:
    assert list(POLICIES) == [rule.code for rule in RULES]


@pytest.mark.parametrize("program", [each for each in PROGRAMS if each not in ("gcp", "azure")])
def test_what_the_engine_is_told_of_a_program_is_nothing(program: str) -> None:
    assert configured(AWS, lambda: held(stack_of(program))) == []


def test_the_limits_of_pools_are_the_stacks_own() -> None:
    assert configured(AWS, configured_nodes) == {"l4-spot": 6, "l4": 2}


def test_a_stack_without_pools_has_no_limits() -> None:
    assert configured({}, configured_nodes) == {}


def test_a_finding_says_what_and_the_way_out() -> None:
    assert held(Stack([bucket(publicAccessPrevention="inherited")])) == [
        "POL123 public access is not prevented: prevent public access, and let identities in, not keys of an account"
    ]


def test_a_key_that_is_not_known_yet_is_a_key() -> None:
    assert held(Stack([bucket(encryption={"defaultKmsKeyName": UNKNOWN_STRING_VALUE})])) == []
    assert [each[:6] for each in held(Stack([bucket(encryption={})]))] == ["POL125"]


def test_what_cannot_be_told_yet_is_not_told() -> None:
    later = bucket(publicAccessPrevention=UNKNOWN_STRING_VALUE, lifecycleRules=UNKNOWN_ARRAY_VALUE)
    assert held(Stack([later])) == []


def test_a_default_provider_is_told_by_its_name() -> None:
    found = [Resource(LOGS, "logs", {"kmsKeyId": "key"}, protect=True, provider=name) for name in ("", "default_7_51_0", "aws")]
    assert [each[:6] for each in held(Stack(found))] == ["POL171", "POL171"]
