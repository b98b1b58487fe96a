"""The message about an attempt's end."""

from collections.abc import Sequence

from lorafleet.contracts.jobs import MAX_PROBLEMS, Lease, Outcome, PublishedObject, ReportedProblem
from lorafleet.contracts.problems import Problem
from trainer.worker.classify import Ending


def outcome_of(lease: Lease, ending: Ending, step: int, outputs: Sequence[PublishedObject] = (), log_tail: str = "") -> Outcome:
    """The outcome that the console is told."""
    return Outcome(
        job=lease.job.id,
        fence=lease.fence,
        outcome=ending.outcome,
        exit_code=ending.exit_code,
        step=step,
        problems=tuple(_reported(problem) for problem in ending.problems[:MAX_PROBLEMS]),
        outputs=tuple(outputs),
        log_tail=log_tail,
    )


def _reported(problem: Problem) -> ReportedProblem:
    return ReportedProblem(what=problem.what[:500] or "unknown", where=problem.where[:300], hint=problem.hint[:300])
