"""Secrets whose values stand encrypted in the stack's configuration."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core

from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.components.pods import metadata
from infra.incluster.secrets import SecretSpec


@dataclass(frozen=True)
class SecretProps:
    """``value`` is a secret output: Pulumi encrypts it in the state, and hides it in what it shows."""

    spec: SecretSpec
    home: Namespace
    value: pulumi.Output[str]


class ConfiguredSecret(Inside):
    """One Secret with one value."""

    def __init__(self, name: str, props: SecretProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("secret", name, props.home, opts)
        core.v1.Secret(
            name,
            metadata=metadata(props.spec.name, props.spec.where, props.home.name),
            type="Opaque",
            string_data={props.spec.key: props.value},
            opts=pulumi.ResourceOptions.merge(
                self.child(), pulumi.ResourceOptions(additional_secret_outputs=["data", "stringData"])
            ),
        )
        self.register_outputs({})
