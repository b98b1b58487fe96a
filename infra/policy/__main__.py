"""``pulumi up --policy-pack infra/policy``."""

from pulumi_policy import EnforcementLevel, PolicyPack

from infra.policy.pack import policies

PolicyPack("lorafleet", policies(), EnforcementLevel.MANDATORY)
