"""A training run from a configuration to files: the trainer's public face."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorafleet.contracts.gpus import peak_flops
from lorafleet.contracts.problems import ConfigError, LorafleetError
from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer import checkpoint, distributed, lora, optimizers, placement, provenance, saving, state_tree
from trainer.checkpoint import Position, State
from trainer.families.base import Export, Family
from trainer.families.catalog import choose
from trainer.loggers.group import LOGGERS
from trainer.loop import Hooks, Loop
from trainer.outputs import Outputs
from trainer.plan import TrainingPlan
from trainer.reporting import ConsoleReporter, Reporter, SilentReporter
from trainer.schedulers import SCHEDULERS, schedule
from trainer.signals import StopRequests
from trainer.step import Stepper
from trainer.throughput import Throughput
from trainer.versions import library_versions
from trainer.workspace import Workspace

# A checkpoint holds the weights and at most two moments in fp32, and the export; the rest is room for logs and samples.
_BYTES_PER_PARAMETER = 4 * 3 + 4
_SPARE_BYTES = 32 << 20


@dataclass(frozen=True)
class TrainResult:
    """What a finished run leaves. ``beside_share`` is the share of the time that logging, progress and saving took."""

    files: tuple[Path, ...]
    steps: int
    loss: float
    seconds: float
    steps_per_second: float
    rows_per_second: float
    unit: str
    beside_share: float
    micro_batch: int


class LoRATrainer:
    """``LoRATrainer(config)``, then :meth:`prepare_data`, :meth:`build_model`, :meth:`train`.

    ``config`` is a :class:`TrainingConfig` or a plain mapping of its keys, such as ``yaml.safe_load`` gives.

    Raises:
        ConfigError: a key or value is wrong.
    """

    def __init__(
        self, config: TrainingConfig | Mapping[str, Any], *, reporter: Reporter | None = None, stop: StopRequests | None = None
    ) -> None:
        self.config = config if isinstance(config, TrainingConfig) else from_mapping(config)
        self._stop = stop or StopRequests()
        self._placement = placement.choose(self.config)
        self._world = distributed.join(self._placement.device)
        self._reporter = (reporter or ConsoleReporter()) if self._world.leads else SilentReporter()
        self._workspace = Workspace(self.config, self._reporter, self._stop)
        self._family: Family | None = None
        self._parameters: dict[str, torch.nn.Parameter] = {}

    def prepare_data(self) -> None:
        """Check the output folder, fetch what is remote, read and check the data set, and report what was found.

        Raises:
            DataError, NoInputError, ConfigError, StorageError: the run could not end well.
        """
        # A misspelt name should not show up after an hour of encoding.
        for registry, names in (
            (optimizers.OPTIMIZERS, [self.config.optimizer]),
            (SCHEDULERS, [self.config.scheduler]),
            (LOGGERS, self.config.loggers),
        ):
            for name in names:
                registry.get(name)
        local = self._workspace.open()
        self._family = choose(local)
        report = self._family.read(self._workspace.control)
        self._reporter.data(report, noun="image" if self._family.unit == "images" else "example")
        if self._world.leads:
            self._workspace.outputs.write_report(report)

    def build_model(self) -> None:
        """Load the base, frozen, and give it a LoRA.

        Raises:
            ConfigError, NoInputError: the base is not what the configuration says.
        """
        if self._family is None:
            self.prepare_data()
        family = self._require_family()
        family.load(self._placement, self._workspace.control)
        self._stop.check()
        for component, module in family.adapted().items():
            lora.inject(component, module, self.config, family.targets(component))
            module.train()
        self._parameters = lora.parameters(family.adapted())
        if self.config.gradient_checkpointing is True:
            family.gradient_checkpointing(True)
        if self.config.compile:
            for module in family.adapted().values():
                module.compile()
        count = sum(parameter.numel() for parameter in self._parameters.values())
        saving.prepare_output(
            self._workspace.directory, _BYTES_PER_PARAMETER * count * (self.config.keep_checkpoints + 1) + _SPARE_BYTES
        )
        self._reporter.say(f"LoRA: {count:,} weights of rank {self.config.lora_rank} in the {', '.join(family.adapted())}")

    def train(self) -> TrainResult:
        """Train to the end, from the newest whole checkpoint where there is one, and write the weights.

        Raises:
            Preempted, Interrupted: told to stop; the same call goes on later.
            NonFiniteError, OutOfMemoryError, StorageError: see the modules that raise them.
        """
        if not self._parameters:
            self.build_model()
        outputs = self._workspace.outputs
        ended = "failed"
        try:
            with self._stop:
                result = self._train(outputs)
            ended = "finished"
        except LorafleetError as error:
            ended = error.exit_code.name.lower()
            raise
        finally:
            outputs.finish(ended)
            self._reporter.close()
            self._world.close()
        return result

    def _train(self, outputs: Outputs) -> TrainResult:
        config, family, world = self.config, self._require_family(), self._world
        data, validation = family.encode(self._workspace.control)
        world.barrier()
        keys = tuple(data.shape_key(index) for index in range(len(data)))
        plan = TrainingPlan(keys, config.seed, config.batch_size * world.size, config.gradient_accumulation, config.repeats)
        total = min(config.max_steps or 2**62, config.epochs * plan.steps_per_epoch)
        facts = {**family.metadata(), "rows_per_step": str(plan.batch * plan.accumulation)}
        fingerprint = provenance.fingerprint(config, facts)
        optimizer = optimizers.build(self._parameters, config)
        stepper = self._stepper(optimizer)
        start = self._resume(optimizer, stepper, fingerprint)
        if start > total:
            raise ConfigError(
                f"the checkpoint is at step {start}, the run ends at {total}",
                hint="raise epochs or max_steps, or set resume: never",
            )
        if world.leads:
            outputs.start(start, total, plan.steps_per_epoch, facts)

        def export(step: int) -> Callable[[Path], list[Path]]:
            layers = [layer.copied() for component, module in family.adapted().items() for layer in lora.layers(component, module)]
            header = provenance.header(config, facts, step, epoch=-(-step // plan.steps_per_epoch))
            kind = placement.DTYPES[config.export_precision]
            return lambda folder: family.export(layers, Export(folder, config.name, self._export_format(), kind, header))

        hooks = Hooks(
            log=outputs.log if world.leads else _ignore,
            sample=lambda step: outputs.sample(step, family, self._workspace.control),
            save=lambda step: outputs.save(self._state(step, plan, optimizer, stepper, fingerprint), export(step)),
            settle=outputs.settle,
        )
        throughput = Throughput(family.unit, self._peak_flops())
        loop = Loop(
            config=config,
            family=family,
            placement=self._placement,
            world=world,
            plan=plan,
            data=data,
            validation=validation,
            optimizer=optimizer,
            schedule=schedule(config, total),
            stepper=stepper,
            hooks=hooks,
            reporter=self._reporter,
            stop=self._stop,
            throughput=throughput,
            start=start,
            total=total,
        )
        started = time.monotonic()
        loss = loop.run()
        files = outputs.write_weights(export(loop.done)) if world.leads else []
        return TrainResult(
            files=tuple(files),
            steps=loop.done,
            loss=loss,
            seconds=time.monotonic() - started,
            steps_per_second=throughput.mean_steps_per_second,
            rows_per_second=throughput.rows_per_second,
            unit=family.unit,
            beside_share=throughput.beside_share,
            micro_batch=stepper.micro_batch,
        )

    def _stepper(self, optimizer: torch.optim.Optimizer) -> Stepper:
        return Stepper(
            self._require_family(),
            list(self._parameters.values()),
            optimizer,
            self._placement,
            self._world,
            seed=self.config.seed,
            micro_batch=self.config.batch_size,
            max_grad_norm=self.config.max_grad_norm,
            may_recompute=self.config.gradient_checkpointing == "auto",
            on_shrink=self._reporter.warn,
            # Ranks must stop at the same step: with several of them the wish to stop travels with the gradients instead.
            check=self._stop.check if self._world.size == 1 else lambda: None,
        )

    def _state(
        self, step: int, plan: TrainingPlan, optimizer: torch.optim.Optimizer, stepper: Stepper, fingerprint: Mapping[str, Any]
    ) -> State:
        tree, tensors = state_tree.split(optimizer.state_dict())
        epoch, position = divmod(step, plan.steps_per_epoch)
        return State(
            position=Position(step, epoch, position, self.config.seed),
            lora=state_tree.snapshot(self._parameters),
            optimizer=tree,
            optimizer_tensors=state_tree.snapshot(tensors),
            scheduler={"name": self.config.scheduler, "args": self.config.scheduler_args, "step": step},
            scaler=stepper.scaler.state_dict(),
            micro_batch=stepper.micro_batch,
            fingerprint=fingerprint,
            versions=library_versions(),
        )

    def _resume(self, optimizer: torch.optim.Optimizer, stepper: Stepper, fingerprint: Mapping[str, Any]) -> int:
        folder = self._workspace.checkpoint()
        if folder is None:
            return 0
        state = checkpoint.read(folder)
        changed = [key for key in fingerprint if state.fingerprint.get(key) != fingerprint[key]]
        if changed:
            raise ConfigError(
                f"this run began with another {', '.join(changed)}",
                where=str(folder),
                hint="set the old values again, use another output_dir, or resume: never to start anew",
            )
        for name, parameter in self._parameters.items():
            parameter.data.copy_(state.lora[name])
        optimizer.load_state_dict(state_tree.join(state.optimizer, state.optimizer_tensors))
        if state.scaler:
            stepper.scaler.load_state_dict(dict(state.scaler))
        stepper.micro_batch = min(stepper.micro_batch, state.micro_batch)
        self._reporter.say(f"going on from step {state.position.step} ({folder})")
        return state.position.step

    def _peak_flops(self) -> float | None:
        if self._placement.device.type != "cuda":
            return None
        return peak_flops(torch.cuda.get_device_name(self._placement.device))

    def _export_format(self) -> str:
        if self.config.export_format != "auto":
            return self.config.export_format
        return "kohya" if self._require_family().unit == "images" else "peft"

    def _require_family(self) -> Family:
        assert self._family is not None
        return self._family


def _ignore(step: int, values: Mapping[str, float]) -> None:
    """Ranks other than the first do not log."""
