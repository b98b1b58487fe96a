"""One attempt: from a lease to its outcome, whatever the training process, the stores, the console and the site do meanwhile."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

from pydantic import SecretStr

from lorafleet.contracts import paths
from lorafleet.contracts.jobs import Lease, Order
from lorafleet.contracts.outcomes import ExitCode, OutcomeClass
from lorafleet.contracts.problems import LorafleetError, Problem
from trainer.worker.backoff import Backoff
from trainer.worker.channel import (
    Alive,
    Assign,
    Command,
    Ended,
    Event,
    Exit,
    FenceLost,
    Ordered,
    Sampled,
    Saved,
    Stalled,
    Stepped,
    Train,
)
from trainer.worker.classify import Ending, Intent, Told, classify
from trainer.worker.drain import Drain
from trainer.worker.fetching import Fetcher
from trainer.worker.outbox import Outbox
from trainer.worker.outcome import outcome_of
from trainer.worker.places import local_config
from trainer.worker.process import TrainingProcess
from trainer.worker.publishing import Publisher
from trainer.worker.settings import WorkerSettings
from trainer.worker.transfer import Abandoned
from trainer.worker.voice import Voice
from trainer.worker.wire import Console, ConsoleUnreachable, Fenced, MessageRefused, TokenRefused

_LOOK_SECONDS = 0.25
# What a failed attempt leaves is of use to few; it is not waited for as for finished weights.
_FAREWELL_SECONDS = 60.0
_EXIT_SECONDS = 10.0
_LOG_SECONDS = 2.0
_OUTPUT_TRIES = 3
# The console reads the finished files back from two stores before it answers.
_VERIFYING_SECONDS = 60.0


@dataclass(frozen=True)
class Result:
    """How an attempt went. ``ending`` is None where the console took it away; ``delivered``: the console knows of the ending."""

    ending: Ending | None
    delivered: bool


class Attempt:
    """Runs one lease in a warm process. ``tick`` is called several times a second."""

    def __init__(
        self,
        settings: WorkerSettings,
        console: Console,
        lease: Lease,
        process: TrainingProcess,
        *,
        device: str,
        drain: Drain,
        voice: Voice,
        tick: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._console = console
        self._lease = lease
        self._process = process
        self._device = device
        self._drain = drain
        self._voice = voice
        self._tick = tick
        self._folder = settings.work / "attempts" / f"{lease.job.id}-{lease.fence}"
        job, fence = lease.job.id, lease.fence
        self._outbox = Outbox(console, job, fence, process.log, self._lose)
        self._publisher = Publisher(
            console,
            job,
            fence,
            settings.release,
            say=self._note,
            on_fenced=self._lose,
            on_published=lambda step: self._say("published", f"step {step} is published", step=step),
        )
        self._fetched: Train | None = None
        self._fetch_error: Exception | None = None
        self._fetch_stop = threading.Event()
        self._fetcher = threading.Thread(target=self._fetch, name="fetch", daemon=True)
        self._training = False
        self._asked_back = False
        self._heard = monotonic()
        self._fenced = ""
        self._intent = Intent.NONE
        self._told: Told | None = None
        self._files: tuple[str, ...] = ()
        self._step = lease.job.resume.step if lease.job.resume else 0

    def run(self, token: SecretStr) -> Result:
        """Train, publish, and tell the console how it ended."""
        lease, settings = self._lease, self._settings
        self._say("leased", f"leased {lease.job.id}, fence {lease.fence}, from step {self._step}", step=self._step)
        self._process.tell(
            Assign(
                console=settings.console,
                token=token,
                job=lease.job.id,
                fence=lease.fence,
                heartbeat_seconds=lease.heartbeat_seconds,
                stall_seconds=settings.stall,
            )
        )
        self._outbox.start()
        self._publisher.start()
        self._fetcher.start()
        try:
            self._attend()
            return self._conclude()
        finally:
            self._fetch_stop.set()
            self._publisher.stop()
            self._outbox.stop()
            self._process.kill()

    @property
    def folder(self) -> Path:
        """Everything local of this attempt."""
        return self._folder

    @property
    def _cancelled(self) -> bool:
        return self._intent is Intent.STOPPED

    def _attend(self) -> None:
        """Until the training is over."""
        while self._told is None and not self._fenced and self._intent is Intent.NONE:
            event = self._event()
            if event is None and not self._process.running:
                return
            self._handle(event)
            if event is None and self._silent:
                self._intent = Intent.STALLED
            self._start_when_fetched()
            self._heed_drain()

    def _event(self) -> Event | None:
        """The next event, or None where there is none now."""
        self._tick()
        try:
            return self._process.events.get(timeout=_LOOK_SECONDS)
        except Empty:
            return None

    def _handle(self, event: Event | None) -> None:
        if isinstance(event, Alive):
            self._heard = monotonic()
        elif isinstance(event, Stepped):
            self._step = event.step
            self._outbox.progress(event)
        elif isinstance(event, Sampled):
            self._publisher.samples(event)
        elif isinstance(event, Saved):
            self._publisher.checkpoint(event)
        elif isinstance(event, FenceLost):
            self._lose(event.reason)
        elif isinstance(event, Stalled):
            self._intent = Intent.STALLED
        elif isinstance(event, Ordered):
            self._obey(event.order)
        elif isinstance(event, Ended):
            self._told = Told(event.exit_code, tuple(map(self._process.log.redaction.problem, event.problems)))
            self._files = event.files
            self._step = max(self._step, event.step)

    def _obey(self, order: Order) -> None:
        self._say("ordered", f"the console says {order.value}", order=order.value)
        if order is Order.STOP:
            self._intent = Intent.STOPPED
            self._publisher.stop()
        elif order is Order.HAND_BACK and not self._training:
            self._told = Told(ExitCode.PREEMPTED, (Problem("handed back before the training began"),))

    @property
    def _silent(self) -> bool:
        """Whether the process does not even say that it stands still, as when native code holds the interpreter."""
        return monotonic() - self._heard > max(self._settings.stall, 3 * self._lease.heartbeat_seconds)

    def _heed_drain(self) -> None:
        if not self._drain.wanted:
            return
        if not self._training:
            self._told = Told(ExitCode.PREEMPTED, (Problem("the worker was told to end before the training began"),))
        elif not self._asked_back:
            self._asked_back = True
            self._note("told to end: saving and handing back")
            self._process.tell(Command(order=Order.HAND_BACK))
        if not self._drain.may_save:
            self._intent = Intent.DRAINED

    def _fetch(self) -> None:
        fetcher = Fetcher(self._console, self._lease, self._fetch_stop)
        job, settings = self._lease.job, self._settings
        try:
            secrets = fetcher.secrets()
            self._process.log.redaction.hide(secret.get_secret_value() for secret in secrets.values())
            fetcher.dataset(self._folder / "data")
            resume = fetcher.checkpoint(self._folder / "resume")
            config = local_config(
                job.training,
                name=job.id,
                folder=self._folder,
                resume=resume,
                models=settings.models,
                cache=settings.cache,
                device=self._device,
                secrets=secrets,
            )
            self._fetched = Train(config=config, environment=secrets, ranks=job.gpus)
        except Abandoned:
            pass
        except (Fenced, TokenRefused) as error:
            self._lose(error.problems[0].what)
        except Exception as error:  # noqa: BLE001  (a thread's error would be lost, and the attempt would wait for ever)
            self._fetch_error = error

    def _start_when_fetched(self) -> None:
        if self._fetch_error is not None:
            error = self._fetch_error
            if isinstance(error, LorafleetError):
                self._told = Told(error.exit_code, error.problems)
            else:
                self._told = Told(ExitCode.FAILED, (Problem(f"{type(error).__name__}: {error}"),))
        elif self._fetched is not None and not self._training:
            self._training = True
            self._say("training", "everything is here; training begins")
            self._process.tell(self._fetched)

    def _conclude(self) -> Result:
        if self._fenced:
            self._process.kill()
            self._say("fenced", f"the attempt is not this worker's any more: {self._fenced}")
            return Result(None, delivered=True)
        if self._told is None:
            code = self._process.kill()
            self._read_the_rest()
        else:
            code = 0
            self._process.wait_for_log(_LOG_SECONDS)
        ending = classify(code, self._told, self._intent)
        if ending.outcome is OutcomeClass.SUCCEEDED:
            self._publisher.finish(self._files)
        for _ in range(_OUTPUT_TRIES):
            ending = self._publish_the_rest(ending)
            delivered = self._deliver(ending)
            if delivered is not None:
                break
            # The console does not find the finished files: once more.
            self._publisher.finish(self._files)
        else:
            delivered = self._deliver(_unstored("the console does not find the finished weights in the stores"))
        if self._fenced:
            self._say("fenced", f"the attempt is not this worker's any more: {self._fenced}")
            return Result(None, delivered=True)
        self._process.tell(Exit())
        self._process.wait(_EXIT_SECONDS)
        what = f": {ending.problems[0]}" if ending.problems else ""
        self._say("ended", f"{ending.outcome.value} at step {self._step}{what}", outcome=ending.outcome.value, step=self._step)
        return Result(ending, delivered=bool(delivered))

    def _read_the_rest(self) -> None:
        """What a dead process had told before: its last checkpoints may be whole."""
        while True:
            try:
                event = self._process.events.get_nowait()
            except Empty:
                return
            if isinstance(event, Saved | Sampled | Stepped | Ended):
                self._handle(event)

    def _publish_the_rest(self, ending: Ending) -> Ending:
        if self._cancelled:
            return ending
        succeeded = ending.outcome is OutcomeClass.SUCCEEDED
        keeps = succeeded or ending.outcome is OutcomeClass.PREEMPTED
        until = monotonic() + (self._settings.patience if keeps else _FAREWELL_SECONDS)
        while self._publisher.owes and not self._over(until):
            self._handle_late(self._event())
        until = min(until, monotonic() + _FAREWELL_SECONDS)
        while not self._publisher.idle and not self._over(until):
            self._handle_late(self._event())
        if self._cancelled:
            return classify(0, None, Intent.STOPPED)
        if succeeded and not self._publisher.outputs:
            if self._drain.wanted:
                problem = Problem("the worker was told to end before the finished weights were stored")
                return Ending(OutcomeClass.PREEMPTED, ExitCode.PREEMPTED, (problem,))
            return _unstored("the finished weights could not be stored")
        return ending

    def _over(self, until: float) -> bool:
        late = monotonic() > until or not self._drain.may_save
        return late or bool(self._fenced) or self._cancelled

    def _handle_late(self, event: Event | None) -> None:
        if isinstance(event, FenceLost):
            self._lose(event.reason)
        elif isinstance(event, Ordered) and event.order is Order.STOP:
            self._obey(event.order)
        elif isinstance(event, Saved | Sampled | Stepped):
            self._handle(event)

    def _deliver(self, ending: Ending) -> bool | None:
        """Whether the console knows of the ending; None where it refuses a success because it does not find the files."""
        self._outbox.stop()
        outputs = self._publisher.outputs if ending.outcome is OutcomeClass.SUCCEEDED else ()
        outcome = outcome_of(self._lease, ending, self._step, outputs, self._process.log.tail)
        backoff = Backoff()
        while not self._fenced:
            with suppress(ConsoleUnreachable):
                self._outbox.flush()
                try:
                    self._console.send(paths.OUTCOME, outcome, 0.0 if self._drain.wanted else _VERIFYING_SECONDS)
                except (Fenced, TokenRefused) as error:
                    self._lose(error.problems[0].what)
                    return False
                except MessageRefused as error:
                    self._note(f"the outcome is refused: {error.problems[0]}")
                    return None if ending.outcome is OutcomeClass.SUCCEEDED else False
                return True
            if not self._drain.may_speak:
                return False
            if backoff.failures == 0:
                self._note("the console cannot be reached; the outcome is kept and sent again")
            until = monotonic() + backoff.wait()
            while monotonic() < until and not self._fenced and self._drain.may_speak:
                self._handle_late(self._event())
        return False

    def _lose(self, reason: str) -> None:
        # From here on nothing is written: neither to the stores nor to the console.
        self._fenced = self._fenced or reason or "fenced"
        self._fetch_stop.set()
        self._publisher.stop()

    def _note(self, text: str) -> None:
        self._say("note", text)

    def _say(self, event: str, text: str, **values: Any) -> None:
        self._voice.say(event, text, job=self._lease.job.id, fence=self._lease.fence, **values)


def _unstored(what: str) -> Ending:
    problem = Problem(what, hint="look at the worker's log for what the stores said; the job goes on from its last checkpoint")
    return Ending(OutcomeClass.INFRASTRUCTURE, ExitCode.STORAGE, (problem,))
