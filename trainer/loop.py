"""The training loop."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from lorafleet.contracts.problems import Interrupted, Preempted
from lorafleet.contracts.training import TrainingConfig
from trainer.distributed import World
from trainer.families.base import EncodedSet, Family, MicroBatch, Placement
from trainer.losswatch import LossWatch, SeenLoss
from trainer.memory import PRESSURE, DeviceMemory, MemoryProbe
from trainer.placement import autocast
from trainer.plan import StepPlan, TrainingPlan, validation_refs
from trainer.prefetch import Prefetcher
from trainer.reporting import Reporter, StepFacts
from trainer.schedulers import Schedule
from trainer.side_threads import compute_alone, settle_training_thread
from trainer.signals import StopRequests
from trainer.step import Stepper, Wishes
from trainer.throughput import Throughput

# An image's loss depends on its noise and timestep; each is measured at this many fixed ones. A text's depends on nothing else.
VALIDATION_PASSES = {"images": 4}


@dataclass(frozen=True)
class StepBatches:
    """A step made ready: this rank's micro-batches, and the weight of all ranks' rows."""

    plan: StepPlan
    batches: tuple[MicroBatch, ...]
    weight: int


@dataclass(frozen=True)
class Hooks:
    """What happens around the steps; the loop decides when. Arguments: the number of steps done.

    ``save`` may go on in the background; ``settle`` waits for it.
    """

    log: Callable[[int, Mapping[str, float]], None]
    sample: Callable[[int], None]
    save: Callable[[int], None]
    settle: Callable[[], None]


@dataclass
class Loop:
    """Runs steps ``start`` to ``total`` and calls the hooks in between."""

    config: TrainingConfig
    family: Family
    placement: Placement
    world: World
    plan: TrainingPlan
    data: EncodedSet
    validation: EncodedSet | None
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    stepper: Stepper
    hooks: Hooks
    reporter: Reporter
    stop: StopRequests
    throughput: Throughput
    start: int
    total: int
    probe: MemoryProbe | None = None
    done: int = field(init=False)
    _watch: LossWatch = field(init=False)
    _recent: list[SeenLoss] = field(default_factory=list, init=False)
    _loss: float = field(default=float("nan"), init=False)
    _saved: int = field(default=-1, init=False)

    def run(self) -> float:
        """Train, and return the last smoothed loss.

        Raises:
            Preempted, Interrupted: told to stop; the last finished step is saved.
            NonFiniteError, OutOfMemoryError: see :class:`LossWatch` and :class:`Stepper`.
        """
        self.done = self._saved = self.start
        self._watch = LossWatch(delay=1 if self.placement.device.type == "cuda" else 0)
        probe = self.probe or DeviceMemory(self.placement.device)
        try:
            if self.start == 0:
                self._sample()
            settle_training_thread()
            with Prefetcher(range(self.start, self.total), self._make_ready, first=compute_alone) as steps:
                self._train(steps, probe)
            self._save()
            self.hooks.settle()
        except (Preempted, Interrupted) as stop:
            self._save()
            self.hooks.settle()
            where = f"step {self.done} of {self.total} is saved" if self.done else "nothing was trained yet"
            raise type(stop)(f"{stop.problems[0].what}; {where}", hint=stop.problems[0].hint) from None
        return self._loss

    def _train(self, steps: Iterator[StepBatches], probe: MemoryProbe) -> None:
        self.throughput.start()
        for ready in steps:
            if self.world.size == 1:
                self.stop.check()
            factor = self.schedule(self.done)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            with self.throughput.measured(self.done, ready.weight):
                wishes = Wishes(self.stop.requested, self.stop.finish_wanted)
                result = self.stepper.run(self.done, ready.batches, ready.weight, wishes)
            self._watch.push(self.done, result.losses, result.grad_norm, result.names)
            self.done += 1
            if self.done == self.start + 1:
                self._relieve(probe)
            with self.throughput.beside_training():
                self._after_step(ready.plan.epoch, last=self.done == self.total)
            if self.world.size > 1 and result.wishes.stop:
                # Every rank learned of it in the same sum, also those that got no signal themselves.
                self.stop.request()
                self.stop.check()
            if result.wishes.finish if self.world.size > 1 else self.stop.finish_wanted:
                return

    def _make_ready(self, step: int) -> StepBatches:
        plan = self.plan.step(step)
        weight = sum(self.data.weight(ref.index) for ref in plan.rows)
        mine = plan.of_rank(self.world.rank, self.world.size)
        batches = tuple(self.data.collate(refs) for refs in mine if refs)
        if self.placement.device.type == "cuda":
            batches = tuple(batch.pinned() for batch in batches)
        return StepBatches(plan, batches, weight)

    def _after_step(self, epoch: int, last: bool) -> None:
        config, done = self.config, self.done
        ends_epoch = done % self.plan.steps_per_epoch == 0 or last
        self._collect()
        self._show(epoch)
        if done % config.log_every == 0 or last:
            self._collect(everything=last)
            self._log(epoch)
        if self.validation is not None and (done % config.validate_every == 0 if config.validate_every else ends_epoch):
            with self.throughput.paused():
                self._validate()
        if done % config.sample_every == 0 if config.sample_every else ends_epoch:
            with self.throughput.paused():
                self._sample()
        due = bool(config.save_steps) and done % config.save_steps == 0
        if (self.stop.take_save() or due) and not last:
            self._save()

    def _collect(self, everything: bool = False) -> None:
        for seen in self._watch.collect(everything):
            self._recent.append(seen)
            self._loss = seen.loss if math.isnan(self._loss) else 0.9 * self._loss + 0.1 * seen.loss

    def _show(self, epoch: int) -> None:
        facts = StepFacts(
            step=self.done,
            total=self.total,
            epoch=epoch + 1,
            loss=self._loss,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            seconds=self.throughput.seconds_per_step,
            rate=self.throughput.rows_per_second,
            unit=self.throughput.unit,
            mfu=self.throughput.mfu,
        )
        self.reporter.step(facts)

    def _log(self, epoch: int) -> None:
        if not self._recent:
            return
        values = {
            "loss": sum(seen.loss for seen in self._recent) / len(self._recent),
            "grad_norm": self._recent[-1].grad_norm,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            "epoch": float(epoch + 1),
            "steps_per_second": 1 / max(self.throughput.seconds_per_step, 1e-9),
            f"{self.throughput.unit}_per_second": self.throughput.rows_per_second,
        }
        if self.throughput.mfu is not None:
            values["mfu"] = self.throughput.mfu
        self._recent.clear()
        self.hooks.log(self.done, values)

    def _validate(self) -> None:
        validation = self.validation
        assert validation is not None
        keys = [validation.shape_key(index) for index in range(len(validation))]
        passes = VALIDATION_PASSES.get(self.family.unit, 1)
        batches = validation_refs(len(validation), self.config.seed, self.config.batch_size, keys, passes)
        total, weight = torch.zeros((), device=self.placement.device), 0
        modules = self.family.adapted().values()
        for module in modules:
            module.eval()
        with torch.no_grad():
            for number, refs in enumerate(batches):
                if self.world.size == 1:
                    self.stop.check()
                if number % self.world.size != self.world.rank:
                    continue
                batch = validation.collate(refs)
                with autocast(self.placement):
                    total += self.family.loss(batch.to(self.placement.device)).float()
                weight += sum(batch.weights)
        for module in modules:
            module.train()
        sums = torch.stack([total, torch.tensor(float(weight), device=total.device)])
        self.world.sum([sums])
        self.hooks.log(self.done, {"validation_loss": float(sums[0] / sums[1])})

    def _sample(self) -> None:
        if self.world.leads:
            self.hooks.sample(self.done)

    def _save(self) -> None:
        self._collect(everything=True)
        if self.done > self._saved:
            self._saved = self.done
            if self.world.leads:
                self.hooks.save(self.done)

    def _relieve(self, probe: MemoryProbe) -> None:
        share = probe.peak_share()
        if self.config.gradient_checkpointing == "auto" and share is not None and share > PRESSURE:
            self.family.gradient_checkpointing(True)
            self.reporter.say(f"the first step used {share:.0%} of the device's memory: gradient checkpointing is on from here")
