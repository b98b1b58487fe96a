"""One optimizer step, whatever the memory allows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorafleet.contracts.problems import OutOfMemoryError
from trainer import memory
from trainer.distributed import World
from trainer.families.base import Family, MicroBatch, Placement
from trainer.placement import autocast
from trainer.randomness import seed_of


@dataclass(frozen=True)
class Wishes:
    """What a rank was asked for from outside, and then what any rank was: to stop, to end well with the weights as they are."""

    stop: bool = False
    finish: bool = False


@dataclass(frozen=True)
class StepResult:
    """``losses``: one number per micro-batch that ran here, together the step's mean loss over all ranks' rows; ``names`` their rows."""

    losses: Tensor
    grad_norm: Tensor
    names: tuple[tuple[str, ...], ...]
    wishes: Wishes


class Stepper:
    """Forward, backward, sum over ranks, clip, update.

    When the device's memory runs out the micro-batch is halved and the same step is done again, so the effective batch and the order
    of the data never change; at one row, activations are recomputed instead. Gradients are sums of rows' losses divided by the weight
    of the whole step, so that accumulation and the number of ranks do not change their scale.
    """

    def __init__(
        self,
        family: Family,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        placement: Placement,
        world: World,
        *,
        seed: int,
        micro_batch: int,
        max_grad_norm: float,
        may_recompute: bool,
        on_shrink: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self._family = family
        self._parameters = list(parameters)
        self._optimizer = optimizer
        self._placement = placement
        self._world = world
        self._seed = seed
        self.micro_batch = micro_batch
        self._max_grad_norm = max_grad_norm
        self._may_recompute = may_recompute
        self._on_shrink = on_shrink
        self._check = check
        self.scaler = torch.amp.GradScaler(placement.device.type, enabled=placement.compute == torch.float16)

    def run(self, step: int, batches: Sequence[MicroBatch], weight: int, wishes: Wishes = Wishes()) -> StepResult:
        """Do step ``step`` (from 0) on this rank's ``batches``; ``weight`` is that of all ranks' rows together.

        Raises:
            OutOfMemoryError: one row with recomputation does not fit.
            Preempted, Interrupted: between micro-batches; the weights are those of the step before.
        """
        while True:
            out_of_memory: BaseException | None = None
            try:
                losses, names = self._gradients(step, memory.fit(batches, self.micro_batch), weight)
            except RuntimeError as error:
                if not memory.is_out_of_memory(error):
                    raise
                out_of_memory = error.with_traceback(None)
            except MemoryError as error:
                out_of_memory = error.with_traceback(None)
            if out_of_memory is None:
                break
            # Outside the except block: its traceback would keep the activations alive that have to go.
            self._optimizer.zero_grad(set_to_none=True)
            memory.release(self._placement.device)
            self._shrink(step)
        if self._world.size > 1:
            flags = torch.tensor([float(wishes.stop), float(wishes.finish)], device=self._placement.device)
            losses = losses.sum().reshape(1)
            names = (tuple(name for group in names for name in group),)
            self._world.sum([*(self._gradient(parameter) for parameter in self._parameters), losses, flags])
            wishes = Wishes(*(bool(flag) for flag in flags.tolist()))
        norm = self._clip()
        self.scaler.step(self._optimizer)
        self.scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        return StepResult(losses, norm, names, wishes)

    def _gradients(self, step: int, batches: Sequence[MicroBatch], weight: int) -> tuple[Tensor, tuple[tuple[str, ...], ...]]:
        losses, names = [], []
        for position, batch in enumerate(batches):
            self._check()
            if not len(batch):
                continue
            # peft's dropout draws from the global generators; seeded here, a step repeats exactly.
            torch.manual_seed(seed_of(self._seed, "step", step, position, self._world.rank))
            with autocast(self._placement):
                loss = self._family.loss(batch.to(self._placement.device)) / weight
            torch.autograd.backward(self.scaler.scale(loss))
            losses.append(loss.detach().float())
            names.append(batch.names)
        stacked = torch.stack(losses) if losses else torch.zeros(1, device=self._placement.device)
        return stacked, tuple(names) or ((),)

    def _shrink(self, step: int) -> None:
        if self.micro_batch > 1:
            self.micro_batch = (self.micro_batch + 1) // 2
            self._on_shrink(
                f"out of memory at step {step + 1}: going on with micro-batches of {self.micro_batch}, same effective batch"
            )
        elif self._may_recompute:
            self._may_recompute = False
            self._family.gradient_checkpointing(True)
            self._on_shrink(f"out of memory at step {step + 1} with one row: going on with gradient checkpointing")
        else:
            raise OutOfMemoryError(
                "one row with gradient checkpointing does not fit the device's memory",
                hint="lower resolution or max_length, use precision: bf16, or a GPU with more memory",
            )

    def _gradient(self, parameter: nn.Parameter) -> Tensor:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad

    def _clip(self) -> Tensor:
        self.scaler.unscale_(self._optimizer)
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        if self._max_grad_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._max_grad_norm, norm, foreach=True)
        if self.scaler.is_enabled():
            # An overflow of the scaled gradient is ordinary in fp16: the scaler skips that update and lowers its scale.
            norm = torch.nan_to_num(norm, nan=0.0, posinf=0.0)
        return norm
