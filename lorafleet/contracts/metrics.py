"""Every Prometheus metric that the parts export: name, kind, labels, unit and help. Dashboards, rules and KEDA read these names."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

TRAINER_PREFIX = "lorafleet_train_"
BUCKET, COUNT, SUM = "_bucket", "_count", "_sum"
"""What the names of a histogram's series end with."""
INFINITY = "+Inf"
"""The label ``le`` of the bucket that holds everything."""


class Kind(StrEnum):
    """A metric's type in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(BaseModel):
    """One metric. ``unit`` is empty for a plain number; ``buckets`` are a histogram's upper bounds, in the unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: Kind
    labels: tuple[str, ...] = ()
    unit: str = ""
    help: str
    buckets: tuple[float, ...] = ()


_RELEASE = ("site", "release")


def _counter(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, labels=labels, help=help_)


def _gauge(name: str, help_: str, *labels: str, unit: str = "") -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, labels=labels, unit=unit, help=help_)


def _seconds(name: str, help_: str, *labels: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, labels=labels, unit="seconds", help=help_, buckets=buckets)


# Every console computes all of these from the database, so that each tells the same: take the max over several, never the sum.
# ``release`` is always the image's digest, ``site`` the name in sites/, ``outcome`` an OutcomeClass, ``state`` a JobState.
LEASES = _counter("lorafleet_leases_total", "Leases given to workers.", *_RELEASE)
HEARTBEATS = _counter("lorafleet_heartbeats_total", "Heartbeats of leased attempts.", *_RELEASE)
ATTEMPTS_ENDED = _counter(
    "lorafleet_attempts_ended_total",
    "Attempts that have ended, by what ended them; errorRate is made of these.",
    *_RELEASE,
    "outcome",
)
LEASES_EXPIRED = _counter("lorafleet_leases_expired_total", "Leases whose deadline passed without a heartbeat.", *_RELEASE)
MESSAGES_FENCED = _counter("lorafleet_messages_fenced_total", "Messages refused because a newer lease holds the job.", *_RELEASE)
CHECKPOINTS = _counter("lorafleet_checkpoints_published_total", "Checkpoints present in two stores and in the database.", *_RELEASE)
GUARD_BREACHES = _counter("lorafleet_guard_breaches_total", "Conditions broken by a candidate release.", "release", "condition")
DESIRED_WORKERS = _gauge("desired_workers", "Workers that should run now; KEDA scales on it.", *_RELEASE)
WORKERS = _gauge("lorafleet_workers", "Workers heard of within the heartbeat's deadline.", *_RELEASE)
JOBS = _gauge("lorafleet_jobs", "Jobs by state.", "state")
RELEASE_SHARE = _gauge("lorafleet_release_share_ratio", "Share of training requests that a release gets.", *_RELEASE, unit="ratio")
FIRST_HEARTBEAT = _seconds(
    "lorafleet_first_heartbeat_seconds",
    "From a lease to the training process's first heartbeat; the condition 'latency' is made of it.",
    *_RELEASE,
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
WAITING = _seconds(
    "lorafleet_job_waiting_seconds",
    "From a job's submission to its first lease, of the site and release that took it.",
    *_RELEASE,
    buckets=(1, 5, 15, 60, 300, 900, 3600, 14400),
)

CONSOLE: tuple[Metric, ...] = (
    LEASES,
    HEARTBEATS,
    ATTEMPTS_ENDED,
    LEASES_EXPIRED,
    MESSAGES_FENCED,
    CHECKPOINTS,
    GUARD_BREACHES,
    DESIRED_WORKERS,
    WORKERS,
    JOBS,
    RELEASE_SHARE,
    FIRST_HEARTBEAT,
    WAITING,
)


def _trainer(name: str, help_: str, unit: str = "") -> Metric:
    return _gauge(TRAINER_PREFIX + name, help_, "run", unit=unit)


TRAINER: tuple[Metric, ...] = (
    _trainer("loss", "Mean training loss since the last line of the log."),
    _trainer("validation_loss", "Loss on the held-out examples."),
    _trainer("learning_rate", "Learning rate of the first parameter group."),
    _trainer("grad_norm", "Norm of the gradients before clipping."),
    _trainer("epoch", "Epoch, counted from 1."),
    _trainer("step", "Optimizer steps done."),
    _trainer("steps_per_second", "Smoothed speed of training, without validation and samples."),
    _trainer("images_per_second", "The same in images, for image models."),
    _trainer("tokens_per_second", "The same in trained tokens, for language models."),
    _trainer("mfu", "Share of the device's peak FLOP/s that the model's own arithmetic reaches.", "ratio"),
)

METRICS: tuple[Metric, ...] = (*CONSOLE, *TRAINER)
