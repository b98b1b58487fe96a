"""AWS policy documents: statements in, canonical JSON out, so that a document only differs where its meaning does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

Text = pulumi.Input[str]


@dataclass(frozen=True)
class Statement:
    """One statement; ``principal`` is left out in a policy that is attached to a role."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[Text] = ()
    effect: str = "Allow"
    principal: Mapping[str, Text] | str | None = None
    condition: Mapping[str, Mapping[str, Text | Sequence[Text]]] = field(default_factory=dict)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"Sid": self.sid, "Effect": self.effect, "Action": list(self.actions)}
        if self.resources:
            fields["Resource"] = list(self.resources)
        if self.principal is not None:
            fields["Principal"] = self.principal
        if self.condition:
            fields["Condition"] = {operator: dict(keys) for operator, keys in self.condition.items()}
        return fields


def document(*statements: Statement) -> pulumi.Output[str]:
    """A policy document."""
    fields = [statement._fields() for statement in statements]
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": fields}, sort_keys=True)


def service_trust(service: str) -> pulumi.Output[str]:
    """Lets an AWS service act as the role."""
    return document(Statement("Service", ["sts:AssumeRole"], principal={"Service": service}))


def pod_trust(account: str, cluster_arn: Text) -> pulumi.Output[str]:
    """Lets EKS Pod Identity hand the role to pods of one cluster."""
    return document(
        Statement(
            "Pods",
            ["sts:AssumeRole", "sts:TagSession"],
            principal={"Service": "pods.eks.amazonaws.com"},
            condition={"StringEquals": {"aws:SourceAccount": account}, "ArnEquals": {"aws:SourceArn": cluster_arn}},
        )
    )
