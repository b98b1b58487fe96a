"""``monitor.canary``: an analysis by Spinnaker's Kayenta, the slow second line behind the console's guard."""

from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from lorafleet.contracts.document import wrong_at
from lorafleet.contracts.durations import Duration, format_duration
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.metrics import ATTEMPTS_ENDED, CHECKPOINTS, LEASES_EXPIRED, Metric

ANALYSED: tuple[Metric, ...] = (ATTEMPTS_ENDED, LEASES_EXPIRED, CHECKPOINTS)
"""What the console exports by site and release, and what says something of a release's health."""

MINUTE = timedelta(minutes=1)
LONGEST = timedelta(hours=12)
"""The console watches the candidate meanwhile, with a deadline, and a watch ends within a day."""

Score = Annotated[int, Field(ge=0, le=100, strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)


class Thresholds(_Part):
    """Scores from 0 to 100: ``marginal`` or less fails at once, at the end it needs ``pass``."""

    marginal: Score = 50
    passing: Score = Field(default=75, alias="pass")

    @model_validator(mode="after")
    def _in_order(self) -> "Thresholds":
        if self.marginal >= self.passing:
            raise ValueError(f"marginal ({self.marginal}) lies below pass ({self.passing})")
        return self


class CanaryMetric(_Part):
    """One of the console's metrics, and its part of the score. A ``critical`` one that fails makes the whole score 0."""

    metric: str
    weight: Annotated[int, Field(ge=1, le=100, strict=True)]
    critical: bool = False

    @field_validator("metric")
    @classmethod
    def _can_be_analysed(cls, name: str) -> str:
        known = [metric.name for metric in ANALYSED]
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise ValueError(f"'{name}' is none of {', '.join(known)}" + (f"; did you mean '{near[0]}'?" if near else ""))
        return name


_DEFAULT_METRICS = (
    CanaryMetric(metric=ATTEMPTS_ENDED.name, weight=60, critical=True),
    CanaryMetric(metric=LEASES_EXPIRED.name, weight=40),
)


def _whole_minutes(length: timedelta) -> timedelta:
    if length < MINUTE or length % MINUTE:
        raise ValueError(f"{format_duration(length)} is no number of whole minutes, which Kayenta counts in; write 1m or more")
    return length


class CanaryAnalysis(_Part):
    """Kayenta compares the candidate with the stable release in each site where both are at work.

    There is a point of each metric every minute, and Kayenta's statistics want 50 of them: a ``lifetime`` of 50m or more.
    """

    storage_account: Id = Field(alias="storageAccount", description="Kayenta's account for results.")
    configuration_account: Id | None = Field(
        default=None, alias="configurationAccount", description="Kayenta's account for canary configs; storageAccount if left out."
    )
    lifetime: Duration = Field(default=timedelta(hours=1), description="Whole minutes, 1m to 12h; 50m or more has enough points.")
    interval: Duration = Field(
        default=timedelta(minutes=20), validate_default=True, description="Whole minutes between two scores; at most the lifetime."
    )
    thresholds: Thresholds = Thresholds()
    metrics: tuple[CanaryMetric, ...] = Field(default=_DEFAULT_METRICS, min_length=1, description="Weights add up to 100.")

    @field_validator("lifetime")
    @classmethod
    def _ends(cls, lifetime: timedelta) -> timedelta:
        if lifetime > LONGEST:
            raise ValueError(f"{format_duration(lifetime)} is too long; at most {format_duration(LONGEST)}")
        return _whole_minutes(lifetime)

    @field_validator("interval")
    @classmethod
    def _fits_in(cls, interval: timedelta, info: ValidationInfo) -> timedelta:
        lifetime = info.data.get("lifetime")
        if lifetime is not None and interval > lifetime:
            raise ValueError(f"an interval of {format_duration(interval)} does not fit into {format_duration(lifetime)}")
        return _whole_minutes(interval)

    @field_validator("metrics")
    @classmethod
    def _weights_fit(cls, metrics: tuple[CanaryMetric, ...]) -> tuple[CanaryMetric, ...]:
        names = [metric.metric for metric in metrics]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise wrong_at((index, "metric"), f"'{name}' stands twice")
        total = sum(metric.weight for metric in metrics)
        if total != 100:
            raise ValueError(f"the weights add up to {total}, not to 100")
        return metrics

    @property
    def configurations(self) -> str:
        """The account that canary configs are kept in."""
        return self.configuration_account or self.storage_account
