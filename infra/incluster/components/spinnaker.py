"""What Spinnaker may do here, and in a cluster of one's own also who it is."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, rbac

from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.components.pods import metadata
from infra.incluster.facts import Deployer
from infra.incluster.spinnaker_role import RIGHTS, ROLE

COMPONENT = "spinnaker"
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class SpinnakerProps:
    """``accounts`` is where a service account of Spinnaker's lives: not where it may make pods that take it."""

    home: Namespace
    deployer: Deployer
    accounts: Namespace | None = None


class Spinnaker(Inside):
    """A Role in the workers' namespace, bound to whom the cluster knows Spinnaker as."""

    def __init__(self, name: str, props: SpinnakerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("spinnaker", name, props.home, opts)
        if props.accounts is not None:
            core.v1.ServiceAccount(
                name,
                metadata=metadata(props.deployer.name, COMPONENT, props.accounts.name),
                automount_service_account_token=False,
                opts=self.child(),
            )
        role = rbac.v1.Role(
            name,
            metadata=metadata(ROLE, COMPONENT, props.home.name),
            rules=[
                rbac.v1.PolicyRuleArgs(api_groups=[right.group], resources=[right.resource], verbs=list(right.verbs))
                for right in RIGHTS
            ],
            opts=self.child(),
        )
        is_account = props.deployer.kind == "ServiceAccount"
        rbac.v1.RoleBinding(
            name,
            metadata=metadata(ROLE, COMPONENT, props.home.name),
            role_ref=rbac.v1.RoleRefArgs(api_group=_RBAC, kind="Role", name=role.metadata.name),
            subjects=[
                rbac.v1.SubjectArgs(
                    kind=props.deployer.kind,
                    name=props.deployer.name,
                    api_group=None if is_account else _RBAC,
                    namespace=props.accounts.name if props.accounts is not None else None,
                )
            ],
            opts=self.child(),
        )
        self.register_outputs({})
