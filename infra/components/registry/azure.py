"""Azure Container Registry, and Defender, which scans what is pushed to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization, containerregistry, security

from infra.azure_roles import Role
from infra.components.azure_group import AzureGroup
from infra.components.azure_lock import lock
from infra.components.component import Component
from infra.components.registry.lifecycle import UNTAGGED_DAYS


@dataclass(frozen=True)
class AzureRegistryProps:
    """``reader`` is whom the nodes pull as; the identity is who uses the key."""

    group: AzureGroup
    registry: str
    reader: pulumi.Input[str]
    key_uri: pulumi.Input[str]
    identity: pulumi.Input[str]
    identity_client: pulumi.Input[str]


class AzureRegistry(Component):
    """A tag can move: Azure has no switch against it. Releases name digests, so that none notices."""

    def __init__(
        self, name: str, props: AzureRegistryProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("registry:Azure", name, opts)
        group = props.group
        registry = containerregistry.Registry(
            name,
            resource_group_name=group.name,
            location=group.region,
            registry_name=props.registry,
            sku=containerregistry.SkuArgs(name=containerregistry.SkuName.PREMIUM),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            zone_redundancy=containerregistry.ZoneRedundancy.ENABLED,
            policies=containerregistry.PoliciesArgs(
                retention_policy=containerregistry.RetentionPolicyArgs(
                    days=UNTAGGED_DAYS, status=containerregistry.PolicyStatus.ENABLED
                )
            ),
            identity=containerregistry.IdentityPropertiesArgs(
                type=containerregistry.ResourceIdentityType.USER_ASSIGNED,
                user_assigned_identities=pulumi.Output.from_input(props.identity).apply(
                    lambda identity: {identity: containerregistry.UserIdentityPropertiesArgs()}
                ),
            ),
            encryption=containerregistry.EncryptionPropertyArgs(
                status=containerregistry.EncryptionStatus.ENABLED,
                key_vault_properties=containerregistry.KeyVaultPropertiesArgs(
                    key_identifier=props.key_uri, identity=props.identity_client
                ),
            ),
            opts=self.child(protect=group.protect, depends_on=depends_on),
        )
        lock(self, name, group, registry.id)
        authorization.RoleAssignment(
            name,
            scope=registry.id,
            principal_id=props.reader,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=Role.ACR_PULL.definition(group.subscription),
            opts=self.child(),
        )
        security.Pricing(
            name,
            scope_id=f"subscriptions/{group.subscription}",
            pricing_name="Containers",
            pricing_tier=security.PricingTier.STANDARD,
            extensions=[
                security.ExtensionArgs(name="ContainerRegistriesVulnerabilityAssessments", is_enabled=security.IsEnabled.TRUE)
            ],
            opts=self.child(retain_on_delete=True),
        )
        self.address: pulumi.Output[str] = registry.login_server
        self.register_outputs({"address": self.address})
