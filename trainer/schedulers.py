"""Learning-rate schedules: factories of pure functions from the step to a factor, so that a schedule has no state to lose."""

import math
from collections.abc import Callable

from lorafleet.contracts.training import TrainingConfig
from trainer.registry import Registry

Schedule = Callable[[int], float]
ScheduleFactory = Callable[[TrainingConfig, int], Schedule]

SCHEDULERS: Registry[ScheduleFactory] = Registry(
    "schedulers",
    {
        "constant": "trainer.schedulers:constant",
        "linear": "trainer.schedulers:linear",
        "cosine": "trainer.schedulers:cosine",
        "cosine_restarts": "trainer.schedulers:cosine_restarts",
        "polynomial": "trainer.schedulers:polynomial",
    },
)


def schedule(config: TrainingConfig, total_steps: int) -> Schedule:
    """The configured schedule behind its warm-up; the factor of step 0 is the first one used.

    Raises:
        ConfigError: the schedule is unknown or refuses its arguments.
    """
    after_warmup = SCHEDULERS.get(config.scheduler)(config, max(1, total_steps - config.warmup_steps))

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / (config.warmup_steps + 1)
        return after_warmup(step - config.warmup_steps)

    return factor


def constant(config: TrainingConfig, steps: int) -> Schedule:
    """Always 1."""
    return lambda step: 1.0


def linear(config: TrainingConfig, steps: int) -> Schedule:
    """From 1 to 0 at the last step."""
    return lambda step: max(0.0, 1 - step / steps)


def cosine(config: TrainingConfig, steps: int) -> Schedule:
    """Half a cosine from 1 to 0."""
    return lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def cosine_restarts(config: TrainingConfig, steps: int) -> Schedule:
    """``cycles`` (default 3) half cosines, each starting at 1."""
    cycles = int(config.scheduler_args.get("cycles", 3))
    return lambda step: 0.5 * (1 + math.cos(math.pi * ((cycles * step / steps) % 1.0))) if step < steps else 0.0


def polynomial(config: TrainingConfig, steps: int) -> Schedule:
    """From 1 to 0 as a power (default 2) of what is left."""
    power = float(config.scheduler_args.get("power", 2.0))
    return lambda step: float(max(0.0, 1 - step / steps) ** power)
