"""The training process: ``python -m trainer.worker.child EVENTS_DESCRIPTOR DEVICE``. It warms up, takes one job, and ends.

Instructions come on stdin, events go to the descriptor; stdout and stderr are the job's log. It ends when stdin does: without its
supervisor it is nobody's.
"""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from rich.console import Console as Terminal

from lorafleet.contracts.jobs import Order, Phase
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError, Problem, UnavailableError
from trainer.worker.channel import INSTRUCTIONS, LOG_ENDS, Assign, Command, Ended, Exit, Instruction, LineWriter, Ready, Train
from trainer.worker.heartbeat import Heart
from trainer.worker.lifeline import die_with_parent
from trainer.worker.pulse import Pulse, WatchedStop
from trainer.worker.ranks import Ranks

Wanted = TypeVar("Wanted", Assign, Train)

_WARM_BYTES = 1 << 20
# What gloo and NCCL say of it.
_PEER_GONE = re.compile(r"connection|peer|gloo|nccl|socket|broken pipe", re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """Run, and return the exit code."""
    die_with_parent()
    # The supervisor alone decides what Ctrl-C at its terminal means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor = LineWriter(int(arguments[0]))
    pulse = Pulse()
    stop = WatchedStop(pulse)
    mailbox = Mailbox(stop)
    mailbox.start()
    try:
        device = warm_up(arguments[1])
    except LorafleetError as error:
        supervisor.write(Ended(exit_code=error.exit_code, step=0, problems=error.problems))
        return error.exit_code
    supervisor.write(Ready(device=device))
    heart = Heart(mailbox.wait_for(Assign), pulse, supervisor, obeying(stop))
    heart.start()
    task = mailbox.wait_for(Train)
    # Only now, and only here: the process ends with its job. Other processes of this user see the environment of its start.
    os.environ.update({name: secret.get_secret_value() for name, secret in task.environment.items()})

    def give_up(failure: Ended) -> None:
        pulse.rest(Phase.SAVING)
        supervisor.write(failure.model_copy(update={"step": pulse.now[1]}))
        mailbox.wait_for_exit()
        os._exit(failure.exit_code)

    pulse.watch()
    try:
        with Ranks(task, give_up) as ranks:
            ended = train(task, supervisor, pulse, stop)
            if _lost_a_rank(ended):
                ended = ranks.failure() or ended
    except UnavailableError as error:
        ended = Ended(exit_code=error.exit_code, step=0, problems=error.problems)
    pulse.rest(Phase.SAVING)
    print(LOG_ENDS, flush=True)
    supervisor.write(ended)
    # Publishing what was made takes its time, in which the lease must not run out.
    mailbox.wait_for_exit()
    heart.stop()
    return ended.exit_code


def _lost_a_rank(ended: Ended) -> bool:
    """Whether an unforeseen end looks like that of another rank, which then knows the reason."""
    return ended.exit_code == ExitCode.FAILED and any(_PEER_GONE.search(problem.what) for problem in ended.problems)


def warm_up(device: str) -> str:
    """Import what takes seconds and make the device ready; return the device's name.

    Raises:
        UnavailableError: there should be a GPU, and it does not work.
    """
    import torch

    import trainer.families.causal_lm
    import trainer.families.diffusion
    import trainer.run  # noqa: F401

    if device == "cpu":
        return "cpu"
    try:
        # A context alone is lazy about half of what can fail; a product is not.
        room = torch.ones(_WARM_BYTES // 4, device=device)
        float((room @ room).item())
        return torch.cuda.get_device_name(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnavailableError(f"the GPU does not work: {reason}", hint="run 'lorafleet doctor' in this image to see why") from None


def obeying(stop: WatchedStop) -> Callable[[Order], None]:
    """How the loop learns of orders."""

    def obey(order: Order) -> None:
        if order is Order.SAVE:
            stop.request_save()
        elif order is Order.FINISH:
            stop.request_finish()
        elif order is Order.HAND_BACK:
            stop.request()
        # STOP is the supervisor's: it ends this process from outside, whatever the loop is doing.

    return obey


def train(task: Train, supervisor: LineWriter, pulse: Pulse, stop: WatchedStop) -> Ended:
    """Run the training to its end, whatever that is."""
    from trainer.reporting import ConsoleReporter
    from trainer.run import LoRATrainer
    from trainer.worker.pipe_reporter import PipeReporter

    words = ConsoleReporter(Terminal(file=sys.stdout, force_terminal=False, highlight=False, width=120))
    reporter = PipeReporter(supervisor, pulse, words)
    try:
        result = LoRATrainer(task.config, reporter=reporter, stop=stop).train()
    except LorafleetError as error:
        for problem in error.problems:
            print(f"ended: {problem}", flush=True)
        return Ended(exit_code=error.exit_code, step=pulse.now[1], problems=error.problems)
    except Exception as error:  # noqa: BLE001  (whatever it was, the console must learn of it)
        traceback.print_exc()
        what = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
        return Ended(exit_code=ExitCode.FAILED, step=pulse.now[1], problems=(Problem(what),))
    return Ended(exit_code=ExitCode.FINISHED, step=result.steps, files=tuple(str(path) for path in result.files))


class Mailbox:
    """Reads instructions on a thread, so that orders reach a loop that is busy, and the supervisor's death ends the process."""

    def __init__(self, stop: WatchedStop) -> None:
        self._obey = obeying(stop)
        self._waiting = SimpleQueue[Instruction]()
        self._exit = threading.Event()

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="instructions", daemon=True).start()

    def wait_for(self, kind: type[Wanted]) -> Wanted:
        """The next instruction of this kind."""
        while True:
            instruction = self._waiting.get()
            if isinstance(instruction, kind):
                return instruction

    def wait_for_exit(self) -> None:
        """Until the supervisor has everything it needs."""
        self._exit.wait()

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            instruction = INSTRUCTIONS.validate_json(line)
            if isinstance(instruction, Command):
                self._obey(instruction.order)
            elif isinstance(instruction, Exit):
                self._exit.set()
            else:
                self._waiting.put(instruction)
        # Nothing is worth saving any more: whoever would publish it is gone, and the fence moves on.
        os._exit(ExitCode.PREEMPTED)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # The interpreter's own end would wait for the thread that reads stdin, and abort.
    os._exit(code)
