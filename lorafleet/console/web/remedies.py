"""What to do about a failed job: rules over how its last attempt ended. Where nothing is known, nothing is guessed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafleet.console.domain.records import AttemptRecord, JobRecord
from lorafleet.console.domain.requests import checked_training, settable
from lorafleet.console.web.language import Language
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.outcomes import ExitCode, OutcomeClass
from lorafleet.contracts.training import TrainingConfig


@dataclass(frozen=True)
class Remedy:
    """What went wrong and how to mend it. ``changes`` are training keys for another try; empty where settings do not help."""

    title: str
    advice: str
    changes: Mapping[str, Any]


def remedy(words: Language, job: JobRecord, last: AttemptRecord | None) -> Remedy | None:
    """The remedy of a failed job; None for others."""
    if job.state is not JobState.FAILED or last is None:
        return None
    config = checked_training(settable(job.training))
    if last.exit_code == ExitCode.OUT_OF_MEMORY:
        return _memory(words, config)
    if last.exit_code == ExitCode.NON_FINITE:
        rate = float(f"{config.learning_rate / 4:.2g}")
        advice = words.gettext(
            "The learning rate was too high for this set. A quarter of it, %(rate)s, is a careful next try.", rate=f"{rate:g}"
        )
        return Remedy(words.gettext("The loss became infinite"), advice, {"learning_rate": rate, "max_grad_norm": 1.0})
    if last.exit_code in (ExitCode.DATA, ExitCode.NO_INPUT):
        return Remedy(
            words.gettext("The data set cannot be trained on"),
            words.gettext("Mend the pictures or captions that are named here, which makes a new version, and train that."),
            {},
        )
    if last.exit_code in (ExitCode.CONFIG, ExitCode.USAGE):
        return Remedy(words.gettext("A setting is wrong"), words.gettext("Change the key that is named here and try again."), {})
    if last.outcome is OutcomeClass.USER:
        return Remedy(
            words.gettext("The data set or the settings need a change"), words.gettext("What is named here says which."), {}
        )
    return Remedy(
        words.gettext("It failed again and again, and not by your fault"),
        words.gettext(
            "Each try ended with an error of the trainer or of its machine. The log says more; ask whoever runs the fleet."
        ),
        {},
    )


def _memory(words: Language, config: TrainingConfig) -> Remedy:
    changes: dict[str, Any] = {"gradient_checkpointing": True}
    if config.batch_size > 1:
        smaller = config.batch_size // 2
        changes |= {"batch_size": smaller, "gradient_accumulation": config.gradient_accumulation * (config.batch_size // smaller)}
        advice = words.gettext(
            "A batch of %(batch)s with gradient checkpointing needs far less memory, and gives the same result more slowly.",
            batch=smaller,
        )
    elif config.gradient_checkpointing is not True:
        advice = words.gettext("Gradient checkpointing needs far less memory, and gives the same result more slowly.")
    else:
        changes = {}
        advice = words.gettext("It is as small as it can be. Choose a lower resolution or rank, or ask for a GPU with more memory.")
    return Remedy(words.gettext("The GPU's memory was too small"), advice, changes)
