"""Firewalls: nothing of a site is open to the world."""

from collections.abc import Iterator

from infra.policy.reading import at, items, known, open_to_the_world, texts
from infra.policy.rule import Resource, Rule


def _from(ranges: list[str]) -> Iterator[str]:
    for each in ranges:
        if open_to_the_world(each):
            yield f"it lets {each} in"


def _aws_rule(rule: Resource) -> Iterator[str]:
    yield from _from([str(each) for each in (at(rule.props, "cidrIpv4"), at(rule.props, "cidrIpv6")) if each])


def _aws_group(group: Resource) -> Iterator[str]:
    for rule in items(group.props, "ingress"):
        yield from _from([*known(rule, "cidrBlocks"), *known(rule, "ipv6CidrBlocks")])


def _gcp_firewall(firewall: Resource) -> Iterator[str]:
    if at(firewall.props, "direction") != "EGRESS" and items(firewall.props, "allows"):
        yield from _from(known(firewall.props, "sourceRanges") or ["0.0.0.0/0"])


def _azure_group(group: Resource) -> Iterator[str]:
    for rule in items(group.props, "securityRules"):
        if (at(rule, "direction"), at(rule, "access")) == ("Inbound", "Allow"):
            yield from _from([*texts(at(rule, "sourceAddressPrefix")), *known(rule, "sourceAddressPrefixes")])


RULES = (
    Rule(
        "POL111",
        "No firewall lets the world in",
        "name the networks or the security group that may come in",
        {
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _aws_rule,
            "aws:ec2/securityGroup:SecurityGroup": _aws_group,
            "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _aws_group,
            "gcp:compute/firewall:Firewall": _gcp_firewall,
            "azure-native:network:NetworkSecurityGroup": _azure_group,
        },
    ),
)
