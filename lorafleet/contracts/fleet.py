"""``fleet.yaml``: what is released where, how it is watched, and when it is taken back. The one file that a user edits."""

import re
from collections.abc import Sequence
from datetime import time, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lorafleet.contracts import shares
from lorafleet.contracts.canary import CanaryAnalysis
from lorafleet.contracts.conditions import MEASURED, NAME, Condition, ConditionText, parse_condition
from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.document import Path, wrong_at
from lorafleet.contracts.durations import Duration
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.image import UntaggedImage
from lorafleet.contracts.release import MIN_SAMPLES
from lorafleet.contracts.shares import Percentage, Share, Strategy

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# What Orca's UserConfiguredUrlRestrictions lets a webhook call: names with a dot, no addresses, none of these endings.
_DNS_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REFUSED_BY_ORCA = (".spinnaker", ".local", ".localdomain", ".internal", ".localhost")


class _Part(BaseModel):
    # Only the aliases are read and written, so that a key has one name in fleet.yaml, in the JSON Schema and in what is dumped.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)


def _base_url(url: str) -> str:
    # No message shows the address: it may hold a password.
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("this is no https:// address")
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment or parts.port == 0:
        raise ValueError("an address holds a host, a port and a path only")
    return url.rstrip("/")


def _called_by_orca(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")
    if parts.scheme != "https":
        raise ValueError("this is no https:// address; the console is called from other clouds")
    if _DNS_NAME.fullmatch(host) is None:
        raise ValueError(f"'{host}' is no public DNS name; Spinnaker calls names with a dot only, never an IP address")
    if host.endswith(_REFUSED_BY_ORCA):
        raise ValueError(f"'{host}' is no public DNS name; Spinnaker calls no names under .{host.rsplit('.', 1)[-1]}")
    return url


def _conditions_differ(found: tuple[Condition, ...]) -> tuple[Condition, ...]:
    _no_repeat([str(condition) for condition in found])
    return found


def _no_credential(text: str) -> str:
    found = find_credential(text)
    if found is not None:
        raise ValueError(f"this is {found[1]}; keep it in the service that uses it and name the channel or account here")
    return text


def _time_of_day(value: Any) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        # YAML 1.1 reads 17:00 as a number to the base 60; 09:00 it reads as text.
        return time(*divmod(value, 60))
    if isinstance(value, str):
        hour, colon, minute = value.partition(":")
        if colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(hour) < 24 and int(minute) < 60:
            return time(int(hour), int(minute))
    raise ValueError(f"{value!r} is no time of day; write it as 09:00")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
TargetSize = Annotated[int, Field(ge=1, le=1000, strict=True)]
Conditions = Annotated[tuple[ConditionText, ...], Field(min_length=1), AfterValidator(_conditions_differ)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_no_credential)]
TimeOfDay = Annotated[
    time,
    PlainValidator(_time_of_day),
    PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$"}, {"type": "integer"}]}),
]


class Gate(_Part):
    """Where Spinnaker's Gate is."""

    url: BaseUrl


class Console(_Part):
    """Where the console is: a public ``https://`` name, since workers in every cloud and Spinnaker's webhooks call it."""

    url: Annotated[BaseUrl, AfterValidator(_called_by_orca)]


class ClusterRelease(_Part):
    """How a release takes over one site. ``share`` is what the candidate gets first; it follows from the strategy if left out."""

    site: Id
    target_size: TargetSize = Field(alias="targetSize", description="Workers once promoted.")
    gpus: int = Field(default=1, ge=1, le=16, strict=True, description="GPUs of each worker; a job that asks for more has none.")
    strategy: Strategy
    share: Percentage | None = Field(default=None, description="canary: 10%, rolling: 25%; bluegreen has none.")

    @field_validator("share")
    @classmethod
    def _share_fits(cls, share: Share | None, info: ValidationInfo) -> Share | None:
        if share is not None and "strategy" in info.data:
            shares.schedule(info.data["strategy"], share)
        return share

    @property
    def schedule(self) -> tuple[Share, ...]:
        """The shares that the candidate gets one after the other."""
        return shares.schedule(self.strategy, self.share or shares.DEFAULT_SHARES[self.strategy])

    @property
    def last_compared(self) -> int | None:
        """The last step, from 1, that leaves the stable release requests to be compared by; None where the first has them all."""
        return sum(share != shares.ALL for share in self.schedule) or None


class ReleasePlan(_Part):
    """What is released where, and for how long things are watched, kept and waited for."""

    clusters: tuple[ClusterRelease, ...] = Field(min_length=1)
    watch: Duration = Field(default=timedelta(minutes=5), description="How long each share is watched before the next.")
    warm: Duration = Field(default=timedelta(minutes=30), description="How long blue-green keeps the old workers after the switch.")
    drain: Duration = Field(default=timedelta(hours=2), description="How long old leases may go on after a promotion.")
    quorum: int = Field(default=1, ge=1, strict=True, description="Sites that must pass; one that is not reached is left out.")

    @field_validator("clusters")
    @classmethod
    def _one_per_site(cls, clusters: tuple[ClusterRelease, ...]) -> tuple[ClusterRelease, ...]:
        _no_repeat([cluster.site for cluster in clusters])
        return clusters

    @field_validator("quorum")
    @classmethod
    def _quorum_exists(cls, quorum: int, info: ValidationInfo) -> int:
        if quorum > len(info.data.get("clusters", ())) > 0:
            raise ValueError(f"{quorum} of {len(info.data['clusters'])} sites cannot pass")
        return quorum


class Monitor(_Part):
    """Where metrics come from. The console counts leases, heartbeats and outcomes itself; queries go to Prometheus."""

    metrics_account: Id | None = Field(default=None, alias="metricsAccount", description="Spinnaker's account of Prometheus.")
    scopes: tuple[Id, ...] = Field(default=(), description="What metrics are told apart by: clouds or sites.")
    queries: dict[Annotated[str, StringConstraints(pattern=rf"^{NAME}$")], Text] = Field(
        default_factory=dict, description="PromQL by the name that conditions use."
    )
    canary: CanaryAnalysis | None = Field(default=None, description="A slow second look by Kayenta; left out: none.")

    @model_validator(mode="after")
    def _queries_have_an_account(self) -> "Monitor":
        if self.queries and self.metrics_account is None:
            raise ValueError("monitor.queries need monitor.metricsAccount, where they are run")
        if self.canary is not None and self.metrics_account is None:
            raise ValueError("monitor.canary needs monitor.metricsAccount, where Kayenta reads the metrics")
        for name in self.queries:
            if name in MEASURED:
                raise ValueError(f"monitor.queries: the console measures {name} itself; give the query another name")
        return self


class Rollback(_Part):
    """When a candidate is taken back. ``within`` counts from the first violating sample until no worker of it is left."""

    trigger: Literal["automatic"] = "automatic"
    conditions: Conditions = (parse_condition("errorRate > 5%"), parse_condition("latency > 2s"))
    within: Duration = timedelta(seconds=90)
    min_samples: int = Field(
        default=MIN_SAMPLES,
        ge=1,
        le=100_000,
        strict=True,
        validation_alias=AliasChoices("min_samples", "minSamples"),
        description="Samples in a site before its error rate is judged; fewer mean: not promoted. May be written minSamples.",
    )

    @field_validator("within")
    @classmethod
    def _some_time(cls, within: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= within <= timedelta(hours=1):
            raise ValueError("a rollback takes between 1s and 1h")
        return within


class Approval(_Part):
    """A person's consent that a release waits for. A rollback never waits for one."""

    before: Literal["start", "promote"]
    roles: tuple[Text, ...] = Field(default=(), description="Who may consent; empty: whoever may run the pipeline.")
    instructions: Text | None = None
    timeout: Duration = timedelta(hours=24)


class Event(StrEnum):
    """What a notification tells."""

    STARTING = "starting"
    COMPLETE = "complete"
    FAILED = "failed"


class Notification(_Part):
    """A message to people; Spinnaker holds the credentials of the service."""

    type: Literal["slack", "email", "googlechat", "microsoftteams", "pubsub"]
    address: Text
    when: tuple[Event, ...] = Field(default=(Event.FAILED,), min_length=1)


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Window(_Part):
    """When releases may begin; one that ends before it starts goes on after midnight."""

    days: tuple[Day, ...] = Field(default=("mon", "tue", "wed", "thu", "fri"), min_length=1)
    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")
    time_zone: Annotated[str, StringConstraints(pattern=r"^(?:UTC|[A-Za-z_]+(?:/[A-Za-z0-9_+-]+){1,2})$")] | None = Field(
        default=None, alias="timeZone", description="As the IANA names it, such as Europe/Berlin; without it, Spinnaker's own."
    )

    @model_validator(mode="after")
    def _takes_time(self) -> "Window":
        if self.start == self.end:
            raise ValueError("a window ends at another time than it starts")
        return self


class FleetSpec(_Part):
    """A whole ``fleet.yaml``. The facts of a site stand in ``sites/<site>.json``, see :mod:`lorafleet.contracts.site`."""

    application: Id = Field(description="Spinnaker's application.")
    image: UntaggedImage = Field(
        description="The trainer's image. With a digest it is what is released; without, the release names one."
    )
    console: Console | None = Field(default=None, description="Where the workers and the pipeline find the console.")
    gate: Gate | None = Field(default=None, description="Spinnaker's Gate.")
    sites: tuple[Id, ...] = Field(min_length=1)
    home: Id = Field(description="The site of the console and its database.")
    standby: Id | None = Field(default=None, description="The site of the database's streaming copy.")
    release: ReleasePlan
    monitor: Monitor = Monitor()
    rollback: Rollback = Rollback()
    approvals: tuple[Approval, ...] = ()
    notifications: tuple[Notification, ...] = ()
    windows: tuple[Window, ...] = Field(default=(), description="Empty: releases may begin at any time.")

    # Each check hangs on the key that is wrong, so that an error names its line.
    @field_validator("sites")
    @classmethod
    def _sites_differ(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        _no_repeat(sites)
        return sites

    @field_validator("home", "standby")
    @classmethod
    def _is_a_site(cls, site: str | None, info: ValidationInfo) -> str | None:
        if site is not None and "sites" in info.data:
            _one_of(site, info.data["sites"], "sites", ())
        if info.field_name == "standby" and site is not None and site == info.data.get("home"):
            raise ValueError(f"'{site}' is the home too; a standby in the same place falls with it")
        return site

    @field_validator("release")
    @classmethod
    def _clusters_are_sites(cls, release: ReleasePlan, info: ValidationInfo) -> ReleasePlan:
        for index, cluster in enumerate(release.clusters):
            if "sites" in info.data:
                _one_of(cluster.site, info.data["sites"], "sites", ("clusters", index, "site"))
        return release

    @field_validator("monitor")
    @classmethod
    def _something_to_compare(cls, monitor: Monitor, info: ValidationInfo) -> Monitor:
        release = info.data.get("release")
        if monitor.canary is not None and release is not None and not any(one.last_compared for one in release.clusters):
            what = (
                "in no site both releases are at work, as the candidate gets all requests at once; Kayenta has nothing to compare"
            )
            raise wrong_at(("canary",), what)
        return monitor

    @field_validator("rollback")
    @classmethod
    def _conditions_are_measured(cls, rollback: Rollback, info: ValidationInfo) -> Rollback:
        if "monitor" in info.data:
            known = (*MEASURED, *info.data["monitor"].queries)
            for index, condition in enumerate(rollback.conditions):
                _one_of(condition.metric, known, "monitor.queries", ("conditions", index))
        return rollback


def _one_of(name: str, known: Sequence[str], where: str, path: Path) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise wrong_at(path, f"'{name}' is not in {where}" + (f"; did you mean '{near[0]}'?" if near else ""))


def _no_repeat(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' stands twice")
