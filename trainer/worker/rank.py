"""One of the other ranks of a run on several GPUs: ``python -m trainer.worker.rank ENDED_DESCRIPTOR``. See :mod:`trainer.worker.ranks`."""

import os
import signal
import sys
import threading
import traceback

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError, Problem
from trainer.worker.channel import INSTRUCTIONS, Ended, LineWriter, Train
from trainer.worker.lifeline import die_with_parent


def main(arguments: list[str]) -> int:
    """Train as this process's rank, and return the exit code."""
    die_with_parent()
    # Rank 0 says when to stop: all of them learn of it in the sum of a step.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    leader = LineWriter(int(arguments[0]))
    task = INSTRUCTIONS.validate_json(sys.stdin.buffer.readline())
    assert isinstance(task, Train)
    threading.Thread(target=_end_with_leader, name="leader", daemon=True).start()
    os.environ.update({name: secret.get_secret_value() for name, secret in task.environment.items()})
    ended = _train(task)
    leader.write(ended)
    return ended.exit_code


def _train(task: Train) -> Ended:
    from trainer.run import LoRATrainer
    from trainer.signals import StopRequests

    try:
        result = LoRATrainer(task.config, stop=StopRequests()).train()
    except LorafleetError as error:
        return Ended(exit_code=error.exit_code, step=0, problems=error.problems)
    except Exception as error:  # noqa: BLE001  (whatever it was, rank 0 must learn of it)
        rank = os.environ["RANK"]
        print(f"rank {rank}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        first = (str(error).strip().splitlines() or ["no message"])[0]
        return Ended(exit_code=ExitCode.FAILED, step=0, problems=(Problem(f"rank {rank}: {type(error).__name__}: {first}"),))
    return Ended(exit_code=ExitCode.FINISHED, step=result.steps)


def _end_with_leader() -> None:
    sys.stdin.buffer.read()
    os._exit(ExitCode.PREEMPTED)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
