"""The one output of a cloud stack."""

from collections.abc import Sequence
from dataclasses import fields

import pulumi

from infra.config import SiteConfig
from infra.contract import EXPORT, Facts, outputs
from infra.pools import Pool


def publish(site: str, config: SiteConfig, pools: Sequence[Pool], facts: Facts[pulumi.Input[str]]) -> None:
    """Export the stack's outputs, checked, when the cloud has told the facts."""
    known = {part.name: getattr(facts, part.name) for part in fields(facts)}
    pulumi.export(
        EXPORT,
        pulumi.Output.all(**known).apply(lambda told: outputs(site, config, pools, Facts(**told)).model_dump(mode="json")),
    )
