"""The worker's main loop: a warm process, a lease, an attempt, and again."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from time import monotonic

from pydantic import SecretStr

from lorafleet.contracts import paths
from lorafleet.contracts.jobs import AttemptToken, Enrolment, GpuSlot, Lease, LeaseRequest
from lorafleet.contracts.outcomes import ExitCode, OutcomeClass
from lorafleet.contracts.problems import ConfigError, LorafleetError, StorageError, UnavailableError
from trainer.worker import state_file
from trainer.worker.attempt import Attempt, Result
from trainer.worker.backoff import Backoff
from trainer.worker.channel import Ended, Ready
from trainer.worker.classify import Ending, Told, classify
from trainer.worker.drain import Drain
from trainer.worker.gpus import find_gpus
from trainer.worker.outcome import outcome_of
from trainer.worker.process import TrainingProcess
from trainer.worker.settings import WorkerSettings
from trainer.worker.state_file import State
from trainer.worker.voice import Voice
from trainer.worker.wire import Console, ConsoleUnreachable, Fenced, TokenRefused

_LOOK_SECONDS = 0.25
_STATE_SECONDS = 5.0
_COMPLAIN_SECONDS = 60.0
_ATTEMPTS = "attempts"


class Supervisor:
    """One worker on one machine."""

    def __init__(self, settings: WorkerSettings, voice: Voice) -> None:
        self._settings = settings
        self._voice = voice
        self._drain = Drain(settings.grace)
        self._gpus = _offer(settings.device, settings.gpus)
        self._device = "cpu" if not self._gpus else "cuda" if settings.device == "auto" else settings.device
        self._state = State.WAITING
        self._written = 0.0
        self._token: SecretStr | None = None
        self._console = Console(settings.console)
        self._complained = float("-inf")
        self._was_fit = False

    def run(self) -> int:
        """Take jobs until told to end, and return the exit code.

        Raises:
            ConfigError: the credential or another setting is wrong, or another worker uses the folder.
            UnavailableError: this image cannot train on this machine, or speaks another protocol than the console.
            StorageError: the work folder cannot be used.
        """
        if self._settings.device.startswith("cuda") and not self._gpus:
            raise UnavailableError(f"--device {self._settings.device}: nvidia-smi lists no such GPU", hint="run 'lorafleet doctor'")
        if self._settings.gpus > max(1, len(self._gpus)):
            raise UnavailableError(
                f"--gpus {self._settings.gpus}: nvidia-smi lists {len(self._gpus)}", hint="run 'lorafleet doctor'"
            )
        with _sole_user(self._settings.work), self._drain:
            try:
                return self._work()
            except KeyboardInterrupt:
                self._voice.say("stopped", "stopped at once")
                return ExitCode.PREEMPTED
            finally:
                self._settings.state_file.unlink(missing_ok=True)

    def _work(self) -> int:
        while True:
            process = TrainingProcess(self._device)
            try:
                self._introduce()
                if not self._warm_up(process):
                    return ExitCode.FINISHED
                lease = self._next_lease(process)
                if lease is None:
                    if process.running:
                        return ExitCode.FINISHED
                    # It was ended from outside while it had nothing to do.
                    continue
                result = self._attempt(lease, process)
            finally:
                process.kill()
            if self._settings.once or self._drain.wanted:
                return _exit_code(result, self._drain.wanted)

    def _introduce(self) -> None:
        """Enrol while the process warms up, so that a wrong credential shows at once. Raises as :meth:`_next_lease`."""
        try:
            self._token = self._token or self._enrol()
        except ConsoleUnreachable as error:
            self._complain(error)

    def _warm_up(self, process: TrainingProcess) -> bool:
        """Until the process can take a job; False where the worker is to end before.

        Raises:
            UnavailableError: it cannot.
        """
        self._set(State.WAITING)
        self._voice.say("starting", "loading the libraries and the device")
        told = None
        while not self._drain.wanted:
            self._set(self._state)
            try:
                event = process.events.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if isinstance(event, Ready):
                self._was_fit = True
                self._voice.say("ready", f"ready on {event.device}", device=event.device)
                return True
            if isinstance(event, Ended):
                told = Told(event.exit_code, event.problems)
            if event is None:
                ending = classify(process.kill(), told)
                self._report_unfit(ending, process)
                raise UnavailableError(ending.problems)
        return False

    def _report_unfit(self, ending: Ending, process: TrainingProcess) -> None:
        """A release that cannot even start on this machine's GPU is broken, and only an attempt's outcome tells the guard so.

        A worker that has trained before has a broken machine instead. Either way this process ends, and whoever starts it again
        waits longer each time, so that few jobs meet such a worker.
        """
        if ending.outcome is not OutcomeClass.RELEASE or self._was_fit:
            return
        try:
            lease = self._poll()
            if lease is not None:
                outcome = outcome_of(lease, ending, step=0, log_tail=process.log.tail)
                self._console.send(paths.OUTCOME, outcome)
        except LorafleetError as error:
            self._voice.say("note", f"could not report it: {error.problems[0]}")

    def _next_lease(self, process: TrainingProcess) -> Lease | None:
        """Wait for a job; None where the worker is to end, or the process did.

        Raises:
            ConfigError, UnavailableError: the console will not have this worker.
        """
        backoff = Backoff()
        since = monotonic()
        idle_exit = self._settings.idle_exit
        while not self._drain.wanted and process.running:
            self._drain.idle = True
            try:
                lease = self._poll()
            except ConsoleUnreachable as error:
                self._complain(error)
                self._set(State.WAITING)
                until = monotonic() + backoff.wait()
                while monotonic() < until and not self._drain.wanted:
                    self._set(self._state)
                    process.wait(_LOOK_SECONDS)
                continue
            finally:
                self._drain.idle = False
            backoff.reset()
            self._complained = float("-inf")
            if lease is not None:
                return lease
            self._set(State.IDLE)
            if idle_exit is not None and monotonic() - since >= idle_exit:
                self._voice.say("idle", f"no job for {idle_exit:g} s")
                return None
        return None

    def _poll(self) -> Lease | None:
        settings = self._settings
        if self._token is None:
            self._token = self._enrol()
        wait = settings.poll_seconds if settings.idle_exit is None else min(settings.poll_seconds, max(1, int(settings.idle_exit)))
        request = LeaseRequest(
            site=settings.site, worker=settings.worker, release=settings.release, gpus=self._gpus, wait_seconds=wait
        )
        try:
            return self._console.ask_perhaps(paths.LEASE, request, Lease, wait)
        except (TokenRefused, Fenced):
            # Its time is up, or a request before this one, whose answer came too late, has led it to a lease; the console looks after
            # that at the next request. A credential that is not good any more shows at the next enrolment.
            self._token = None
            return None

    def _enrol(self) -> SecretStr:
        settings = self._settings
        message = Enrolment(site=settings.site, worker=settings.worker, credential=settings.credential())
        try:
            token = Console(settings.console).ask(paths.ENROL, message, AttemptToken).token
        except TokenRefused:
            raise ConfigError(
                f"the console refuses the credential of site {settings.site}",
                where=str(settings.credential_file),
                hint="make a new one on the console's fleet page and mount it here",
            ) from None
        self._console = Console(settings.console, token)
        return token

    def _attempt(self, lease: Lease, process: TrainingProcess) -> Result:
        assert self._token is not None
        # It leads to this attempt and dies with it.
        token, self._token = self._token, None
        self._set(State.TRAINING)
        attempt = Attempt(
            self._settings,
            self._console,
            lease,
            process,
            device=self._device,
            drain=self._drain,
            voice=self._voice,
            tick=lambda: self._set(State.DRAINING if self._drain.wanted else State.TRAINING),
        )
        try:
            return attempt.run(token)
        finally:
            shutil.rmtree(attempt.folder, ignore_errors=True)

    def _set(self, state: State) -> None:
        now = monotonic()
        if state is not self._state or now - self._written >= _STATE_SECONDS:
            self._state, self._written = state, now
            state_file.write(self._settings.state_file, state)

    def _complain(self, error: LorafleetError) -> None:
        if monotonic() - self._complained >= _COMPLAIN_SECONDS:
            self._complained = monotonic()
            self._voice.say("waiting", f"{error.problems[0]}; trying on")


def _offer(device: str, count: int) -> tuple[GpuSlot, ...]:
    """The GPUs that jobs will run on. A worker takes one job at a time, so that it offers as many as it is told to, and no more."""
    if device == "cpu":
        return ()
    index = int(device.partition(":")[2] or 0)
    return find_gpus()[index : index + count]


def _exit_code(result: Result, drained: bool) -> int:
    ending = result.ending
    if drained:
        return ExitCode.FINISHED if result.delivered else ExitCode.PREEMPTED
    if ending is None:
        return ExitCode.PREEMPTED
    return ending.exit_code if ending.exit_code >= 0 else ExitCode.FAILED


@contextmanager
def _sole_user(work: Path) -> Iterator[None]:
    """Hold the work folder, and remove what a worker that was killed left in it: its fences are past.

    Raises:
        ConfigError: another worker holds it.
        StorageError: it cannot be made or written.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / "lock").open("w")
    except OSError as error:
        raise StorageError(
            f"the work folder cannot be used: {(error.strerror or str(error)).lower()}", where=str(work), hint="--work"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                "another worker uses this folder", where=str(work), hint="give each worker its own --worker and --work"
            ) from None
        with suppress(OSError):
            shutil.rmtree(work / _ATTEMPTS)
        yield
