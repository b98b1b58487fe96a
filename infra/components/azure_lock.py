"""Azure's own deletion protection."""

import pulumi
from pulumi_azure_native import authorization

from infra.components.azure_group import AzureGroup
from infra.components.component import Component


def lock(component: Component, name: str, group: AzureGroup, scope: pulumi.Input[str]) -> None:
    """Nobody deletes the resource, whatever tool they use, until the site's protection is taken off."""
    if group.protect:
        authorization.ManagementLockByScope(
            name,
            scope=scope,
            level=authorization.LockLevel.CAN_NOT_DELETE,
            lock_name=f"lorafleet-{name}",
            notes="Set `protect: false` in the site's stack file and run `pulumi up` first.",
            opts=component.child(),
        )
