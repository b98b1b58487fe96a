"""Families by name."""

from pathlib import Path

from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import TrainingConfig
from trainer.families.base import Family, FamilyFactory
from trainer.registry import Registry

FAMILIES: Registry[FamilyFactory] = Registry(
    "families",
    {
        "sd15": "trainer.families.diffusion:sd15",
        "sdxl": "trainer.families.diffusion:sdxl",
        "causal_lm": "trainer.families.causal_lm:CausalLMFamily",
    },
)


def choose(config: TrainingConfig) -> Family:
    """The configured family, or the one that the base model belongs to.

    Raises:
        ConfigError: the family is unknown, or cannot be told from the base.
    """
    name = config.family
    if name == "auto":
        from trainer.families.detect import detect_family

        found = detect_family(Path(config.base_model))
        if found is None:
            raise ConfigError(
                "cannot tell what kind of model this is",
                where=config.base_model,
                hint=f"set family to one of {', '.join(FAMILIES.names())}",
            )
        name = found
    return FAMILIES.get(name)(config)
