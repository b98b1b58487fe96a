"""What every Azure component needs to know: where it is."""

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True)
class AzureGroup:
    """The resource group of a site. ``protect`` asks for deletion protection of what holds data."""

    id: pulumi.Input[str]
    name: pulumi.Input[str]
    region: str
    subscription: str
    protect: bool
