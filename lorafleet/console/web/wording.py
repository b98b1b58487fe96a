"""States, outcomes and reasons in words. A reason that the store gives in English is found again by its form."""

import re
from collections.abc import Callable
from datetime import datetime

from lorafleet.console.domain.records import AttemptRecord, JobRecord
from lorafleet.console.web.language import Language
from lorafleet.console.web.sentences import translated
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import Order, Phase
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Decision, HardFault, ReleaseState


def job_state(words: Language, state: JobState) -> str:
    """A job's state in a word."""
    return {
        JobState.WAITING: words.gettext("Waiting"),
        JobState.RUNNING: words.gettext("Training"),
        JobState.SUCCEEDED: words.gettext("Finished"),
        JobState.FAILED: words.gettext("Failed"),
        JobState.CANCELLED: words.gettext("Stopped"),
    }[state]


def attempt_state(words: Language, state: AttemptState) -> str:
    """An attempt's state in a word."""
    return {
        AttemptState.LEASED: words.gettext("Starting"),
        AttemptState.TRAINING: words.gettext("Training"),
        AttemptState.SUCCEEDED: words.gettext("Finished"),
        AttemptState.FAILED: words.gettext("Failed"),
        AttemptState.CANCELLED: words.gettext("Stopped"),
        AttemptState.PREEMPTED: words.gettext("Handed back"),
        AttemptState.LOST: words.gettext("Lost"),
        AttemptState.REVOKED: words.gettext("Revoked"),
    }[state]


def phase(words: Language, value: Phase) -> str:
    """What the training process does."""
    return {
        Phase.PREPARING: words.gettext("loading the model and the data"),
        Phase.TRAINING: words.gettext("training"),
        Phase.SAMPLING: words.gettext("making samples"),
        Phase.SAVING: words.gettext("saving"),
    }[value]


def outcome(words: Language, value: OutcomeClass | None) -> str:
    """Who has to act, as the reason of an attempt's end; empty while it goes on."""
    if value is None:
        return ""
    return {
        OutcomeClass.SUCCEEDED: words.gettext("it trained to the end"),
        OutcomeClass.RELEASE: words.gettext("the trainer itself failed, which is not your fault"),
        OutcomeClass.USER: words.gettext("the data set or the settings need a change"),
        OutcomeClass.INFRASTRUCTURE: words.gettext("the machine, network or store failed"),
        OutcomeClass.CANCELLED: words.gettext("somebody stopped it"),
        OutcomeClass.PREEMPTED: words.gettext("its machine was needed elsewhere; it saved and handed back"),
    }[value]


def order(words: Language, value: Order) -> str:
    """What the worker was told and has not done yet; empty for nothing."""
    return {
        Order.CONTINUE: "",
        Order.SAVE: words.gettext("A checkpoint was asked for."),
        Order.FINISH: words.gettext("It was told to stop and keep the weights."),
        Order.HAND_BACK: words.gettext("It was told to save and hand back."),
        Order.STOP: words.gettext("It was told to stop."),
    }[value]


def release_state(words: Language, state: ReleaseState) -> str:
    """A release's state in words."""
    return {
        ReleaseState.PREPARING: words.gettext("Being checked"),
        ReleaseState.WATCHING: words.gettext("Watched"),
        ReleaseState.PROMOTING: words.gettext("Being promoted"),
        ReleaseState.STABLE: words.gettext("Stable"),
        ReleaseState.ROLLED_BACK: words.gettext("Taken back"),
        ReleaseState.RETIRED: words.gettext("Retired"),
    }[state]


def decision(words: Language, value: Decision) -> str:
    """The guard's verdict in words."""
    return {
        Decision.WAITING: words.gettext("still counting"),
        Decision.PASSED: words.gettext("passed"),
        Decision.BREACH: words.gettext("a condition was broken"),
        Decision.INCONCLUSIVE: words.gettext("too few samples, so not promoted"),
    }[value]


def fault(words: Language, value: HardFault) -> str:
    """A hard fault in words."""
    return {
        HardFault.CUDA_INIT: words.gettext("the GPU could not be used"),
        HardFault.SMOKE_JOB: words.gettext("the trial run failed"),
    }[value]


def sentence(words: Language, job: JobRecord, newest: AttemptRecord | None, now: datetime) -> str:
    """How a job stands, in one or two sentences."""
    if job.state is JobState.WAITING:
        return words.gettext("Waiting: %(reason)s", reason=waiting(words, job.waiting_for))
    if job.state is JobState.RUNNING:
        return _running(words, job, newest, now)
    if job.state is JobState.SUCCEEDED:
        return words.gettext("Finished at step %(step)s. The weights are in two stores.", step=words.number(job.step))
    if job.state is JobState.FAILED:
        what = translated(words, job.problems[0].what) if job.problems else words.gettext("it has used up its attempts")
        return words.gettext("Failed: %(what)s", what=what)
    kept = "" if job.published_step is None else kept_step(words, job.published_step)
    return words.sentences(words.gettext("Stopped."), kept)


def kept_step(words: Language, step: int) -> str:
    """What is safe."""
    return words.gettext("Everything up to step %(step)s is safe.", step=words.number(step))


def _running(words: Language, job: JobRecord, newest: AttemptRecord | None, now: datetime) -> str:
    site = job.site or (newest.site if newest else "")
    if job.unknown_since is not None:
        since = words.span((now - job.unknown_since).total_seconds())
        text = words.gettext(
            "Nothing was heard from %(site)s for %(since)s. If that goes on, another site takes over.", site=site, since=since
        )
        return text if job.published_step is None else words.sentences(text, kept_step(words, job.published_step))
    if job.cancel_requested:
        return words.gettext("It is being stopped in %(site)s.", site=site)
    doing = newest.phase if newest else Phase.PREPARING
    if job.total_steps == 0 or newest is None or newest.first_heartbeat_at is None:
        return words.gettext("Starting in %(site)s: %(doing)s.", site=site, doing=phase(words, Phase.PREPARING))
    step, steps = words.number(job.step), words.number(job.total_steps)
    if doing in (Phase.SAMPLING, Phase.SAVING):
        return words.gettext(
            "At step %(step)s of %(steps)s in %(site)s: %(doing)s.", step=step, steps=steps, site=site, doing=phase(words, doing)
        )
    text = words.gettext("Training in %(site)s, step %(step)s of %(steps)s.", site=site, step=step, steps=steps)
    if job.seconds_left is None:
        return text
    return words.sentences(text, words.gettext("About %(time)s left.", time=words.span(job.seconds_left)))


def waiting(words: Language, reason: str) -> str:
    """A reason for waiting, as :func:`lorafleet.console.domain.waiting.reason` gives it, in the page's language."""
    forms: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
        (
            r"It failed before and is tried again in (\d+) s\.",
            lambda found: words.gettext("it failed before and is tried again in %(time)s.", time=words.span(int(found[1]))),
        ),
        (
            r"The team's quota of (\d+) running jobs is used up\.",
            lambda found: words.gettext("the team's quota of %(count)s running jobs is used up.", count=found[1]),
        ),
        (r"No worker is there in any site\.", lambda _: words.gettext("no worker is there in any site.")),
        (
            r"No worker has what it needs \((.*)\); the largest has (.*)\.",
            lambda found: words.gettext(
                "no worker has what it needs (%(needs)s); the largest has %(largest)s.",
                needs=gpus(words, found[1]),
                largest=gpus(words, found[2]),
            ),
        ),
        (
            r"It is drawn for the new release in (.*), which has no worker there yet\.",
            lambda found: words.gettext(
                "it is drawn for the new release in %(sites)s, which has no worker there yet.", sites=found[1]
            ),
        ),
        (r"No worker runs the stable release\.", lambda _: words.gettext("no worker runs the stable release.")),
        (
            r"(\d+) jobs? (?:is|are) before it\.",
            lambda found: words.ngettext("%(count)s job is before it.", "%(count)s jobs are before it.", int(found[1])),
        ),
        (
            r"It waits a moment for a site that has its data\.",
            lambda _: words.gettext("it waits a moment for a site that has its data."),
        ),
        (r"All workers are busy\.", lambda _: words.gettext("all workers are busy.")),
        (r"It is next: a worker takes it in a moment\.", lambda _: words.gettext("it is next; a worker takes it in a moment.")),
    )
    for pattern, say in forms:
        if found := re.fullmatch(pattern, reason):
            return say(found)
    return reason or words.gettext("it is next; a worker takes it in a moment.")


def gpus(words: Language, text: str) -> str:
    """``2 GPUs with 24 GiB``, as a reason for waiting says it, in the page's language."""
    if found := re.fullmatch(r"(\d+) GPUs? with (\d+) GiB", text):
        return words.ngettext(
            "%(count)s GPU with %(memory)s GiB", "%(count)s GPUs with %(memory)s GiB", int(found[1]), memory=found[2]
        )
    if found := re.fullmatch(r"(\d+) GPUs?", text):
        return words.ngettext("%(count)s GPU", "%(count)s GPUs", int(found[1]))
    return words.gettext("no GPU") if text == "no GPU" else text
