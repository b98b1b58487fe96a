"""LoRA training of a language model: lorafleet against TRL's SFTTrainer, with the same arithmetic, in one run.

Both sides train the same LoRA (same targets, rank, start values) on the same base with the same optimizer settings, precision and
texts, completions only. ``padded`` gives both the same batches in the same order: the losses of the first steps are compared and must
agree, which proves that the arithmetic is the same. ``packed`` lets each side fill its rows in its own way, so that only
tokens per second can be compared.

Sides run alternately, each in a process of its own that tokenizes anew. Times are of single steps after a warm-up. Usage:

    python benchmarks/text_vs_trl.py [--size tiny|small|1b] [--batch 4] [--steps 40] [--repeats 5] [--json]

``1b`` has the sizes of Llama 3.2 1B with random weights and wants a CUDA device.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARMUP = 5
COMPARED_LOSSES = 6
SETTINGS = {"lora_rank": 8, "lora_alpha": 16, "learning_rate": 1e-3, "weight_decay": 0.01, "max_grad_norm": 1.0, "seed": 42}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
SIZES: dict[str, dict[str, int]] = {
    "tiny": {},
    "small": {
        "vocab_size": 32000,
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
    },
    "1b": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
}
LENGTHS = {"tiny": 256, "small": 256, "1b": 2048}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=tuple(SIZES), default="tiny")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=("ours", "trl", "prepare"), help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=("padded", "packed"), default="padded", help=argparse.SUPPRESS)
    parser.add_argument("--log-every", type=int, default=10, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps({"ours": ours, "trl": trl, "prepare": prepare}[options.side](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        run(options, "prepare", "padded", options.steps)
        losses = {side: run(options, side, "padded", COMPARED_LOSSES, log_every=1)["losses"] for side in ("ours", "trl")}
        rows = [compare(options, mode) for mode in ("padded", "packed")]
    difference = max(abs(mine - theirs) / theirs for mine, theirs in zip(losses["ours"], losses["trl"], strict=True))
    if options.json:
        print(json.dumps({"machine": machine(), "size": options.size, "losses": losses, "rows": rows}, indent=1))
    else:
        show(options, rows, losses, difference)
    if difference > (1e-4 if not cuda() else 2e-2):
        raise SystemExit("the losses of the two sides differ, so that their times mean nothing")


def show(options: argparse.Namespace, rows: list[dict[str, Any]], losses: dict[str, list[float]], difference: float) -> None:
    print(
        f"{machine()}; {options.size}, batch {options.batch}, {options.steps} steps, {options.repeats} alternating runs of each side"
    )
    print(f"first losses ours {losses['ours']}\n             trl  {losses['trl']}   largest difference {difference:.1e}")
    for row in rows:
        print(f"\n{row['mode']:32} {'ours':>10} {'trl':>10} {'ours/trl':>9}")
        for name, words in (
            ("step_ms", "ms a step, median"),
            ("step_ms_p10", "ms a step, p10"),
            ("step_ms_p90", "ms a step, p90"),
            ("cpu_ms", "CPU ms a step, mean"),
            ("tokens_per_second", "tokens/s without padding"),
            ("first_step_seconds", "s from process start to step 1"),
            ("peak_mib", "MiB peak"),
        ):
            mine, theirs = row["ours"][name], row["trl"][name]
            print(f"{words:32} {mine:10.2f} {theirs:10.2f} {mine / theirs:9.2f}")


def cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def machine() -> str:
    import torch

    libraries = f"torch {torch.__version__}"
    if cuda():
        return f"{torch.cuda.get_device_name()}, {libraries}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    return f"{model}, {torch.get_num_threads()} threads, {libraries}"


def run(options: argparse.Namespace, side: str, mode: str, steps: int, log_every: int = 10) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, "--mode", mode, "--folder", str(options.folder), "--size", options.size]
    command += ["--batch", str(options.batch), "--steps", str(steps), "--log-every", str(log_every)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(options.folder / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(options: argparse.Namespace, mode: str) -> dict[str, Any]:
    results: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": []}
    for repeat in range(options.repeats):
        for side in ("ours", "trl") if repeat % 2 == 0 else ("trl", "ours"):
            results[side].append(run(options, side, mode, options.steps))
    return {"mode": mode, **{side: summary(runs) for side, runs in results.items()}}


def summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    steps = [1000 * seconds for result in runs for seconds in result["step_seconds"]]
    tenths = statistics.quantiles(steps, n=10)
    medians = {
        name: statistics.median(result[name] for result in runs)
        for name in ("cpu_ms", "tokens_per_second", "first_step_seconds", "peak_mib")
    }
    return {"step_ms": statistics.median(steps), "step_ms_p10": tenths[0], "step_ms_p90": tenths[-1], **medians}


class Clock:
    """Takes the time after each step."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu: list[float] = []

    def tick(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.time())
        self.cpu.append(time.process_time())

    def result(self, tokens_by_step: list[int], losses: list[float]) -> dict[str, Any]:
        first = min(WARMUP, len(self.times) - 1)
        steps = [later - earlier for earlier, later in zip(self.times[first:], self.times[first + 1 :], strict=False)]
        tokens = sum(tokens_by_step[first + 1 : len(self.times)])
        return {
            "step_seconds": steps,
            "cpu_ms": 1000 * (self.cpu[-1] - self.cpu[first]) / max(1, len(steps)),
            "tokens_per_second": tokens / max(1e-9, self.times[-1] - self.times[first]),
            "first_step_seconds": self.times[0] - process_start(),
            "peak_mib": peak_mib(),
            "losses": losses,
        }


def process_start() -> float:
    ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepare(options: argparse.Namespace) -> dict[str, str]:
    """The base, the texts, and the order in which our plan takes them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainer.families.causal_lm import CausalLMFamily
    from trainer.placement import choose
    from trainer.plan import TrainingPlan
    from trainer.tiny.causal_lm import make_llama

    base = make_llama(options.folder)
    if SIZES[options.size]:
        values = json.loads((base / "config.json").read_text())
        config = LlamaConfig(
            **{**{key: values[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}, **SIZES[options.size]}
        )
        torch.manual_seed(0)
        LlamaForCausalLM(config).to(torch.bfloat16 if cuda() else torch.float32).save_pretrained(base)
    write_rows(options, texts(options))
    # Batches that are always full: a bucket's last, short one would be another batch for TRL.
    config_of_ours = training_config(options, options.folder / "order")
    family = CausalLMFamily(config_of_ours)
    control = Quiet()
    family.read(control)
    family.load(choose(config_of_ours), control)
    rows: Any = family.encode(control)[0]
    by_key: dict[Any, list[int]] = {}
    for index in range(len(rows)):
        by_key.setdefault(rows.shape_key(index), []).append(index)
    full = sorted(index for members in by_key.values() for index in members[: len(members) // options.batch * options.batch])
    write_rows(options, [read_rows(options)[index] for index in full])
    keys = tuple(rows.shape_key(index) for index in full)
    plan = TrainingPlan(keys, int(SETTINGS["seed"]), options.batch)
    order = [ref.index for step in range(options.steps) for ref in plan.step(step).rows]
    (options.folder / "order.json").write_text(json.dumps(order))
    return {}


def texts(options: argparse.Namespace) -> list[dict[str, str]]:
    """Prompts and completions whose lengths are spread as in a chat set: many short ones, few long ones."""
    words = [
        "a",
        "photo",
        "of",
        "cat",
        "and",
        "dog",
        "the",
        "capital",
        "France",
        "is",
        "Paris",
        "one",
        "two",
        "three",
        "style",
        "helpful",
        "brief",
        "answers",
    ]
    draw = random.Random(0)
    longest = LENGTHS[options.size]
    made = []
    for _ in range(40 * options.batch):
        length = min(longest // 4, int(draw.lognormvariate(3, 0.7)))
        made.append(
            {"prompt": " ".join(draw.choices(words, k=length)), "completion": " " + " ".join(draw.choices(words, k=length))}
        )
    return made


def write_rows(options: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    (options.folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_rows(options: argparse.Namespace) -> list[dict[str, str]]:
    return [json.loads(line) for line in (options.folder / "texts.jsonl").read_text().splitlines()]


class Quiet:
    def check(self) -> None: ...

    def progress(self, what: str, done: int, total: int) -> None: ...

    def warn(self, text: str) -> None: ...


def training_config(options: argparse.Namespace, output: Path) -> Any:
    from lorafleet.contracts.training import from_mapping

    return from_mapping(
        {
            "train_data_dir": str(options.folder / "texts.jsonl"),
            "base_model": str(options.folder / "tiny-llama"),
            "output_dir": str(output),
            "max_length": LENGTHS[options.size],
            "packing": options.mode == "packed",
            "lora_targets": TARGETS,
            "batch_size": options.batch,
            "epochs": 10**6,
            "max_steps": options.steps,
            "save_steps": 0,
            "sample_every": 10**9,
            "validate_every": 10**9,
            "gradient_checkpointing": False,
            "log_every": options.log_every,
            **SETTINGS,
        }
    )


def ours(options: argparse.Namespace) -> dict[str, Any]:
    from trainer import LoRATrainer
    from trainer.plan import TrainingPlan
    from trainer.reporting import SilentReporter, StepFacts

    clock = Clock()

    class Watch(SilentReporter):
        def step(self, facts: StepFacts) -> None:
            clock.tick()

    output = Path(tempfile.mkdtemp(dir=options.folder))
    config = training_config(options, output)
    trainer = LoRATrainer(config, reporter=Watch())
    trainer.train()
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    family: Any = trainer._family
    rows = family.encode(Quiet())[0]
    plan = TrainingPlan(tuple(rows.shape_key(index) for index in range(len(rows))), config.seed, config.batch_size)
    tokens = [sum(rows.lengths[ref.index] for ref in plan.step(step).rows) for step in range(options.steps)]
    return clock.result(tokens, [line["loss"] for line in lines if "loss" in line])


def trl(options: argparse.Namespace) -> dict[str, Any]:
    import math

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer
    from torch import nn
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from trainer.randomness import generator

    clock, tokens = Clock(), []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()
            tokens.append(int(trainer._total_train_tokens))

    rows = read_rows(options)
    packed = options.mode == "packed"
    order = list(range(len(rows))) if packed else json.loads((options.folder / "order.json").read_text())
    trainer = SFTTrainer(
        str(options.folder / "tiny-llama"),
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(dir=options.folder),
            model_init_kwargs={"dtype": "bfloat16" if cuda() else "float32", "attn_implementation": "sdpa"},
            max_length=LENGTHS[options.size],
            packing=packed,
            train_sampling_strategy="random" if packed else "sequential",
            per_device_train_batch_size=options.batch,
            max_steps=options.steps,
            learning_rate=SETTINGS["learning_rate"],
            weight_decay=SETTINGS["weight_decay"],
            max_grad_norm=SETTINGS["max_grad_norm"],
            lr_scheduler_type="constant",
            gradient_checkpointing=False,
            bf16=cuda(),
            use_cpu=not cuda(),
            logging_steps=options.log_every,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=int(SETTINGS["seed"]),
        ),
        train_dataset=Dataset.from_list([rows[index] for index in order]),
        peft_config=LoraConfig(
            r=int(SETTINGS["lora_rank"]), lora_alpha=int(SETTINGS["lora_alpha"]), target_modules=TARGETS, task_type="CAUSAL_LM"
        ),
        callbacks=[Watch()],
    )
    start_values = generator(int(SETTINGS["seed"]), "lora", "model")
    for module in trainer.model.modules():
        if isinstance(module, LoraLayer) and "default" in module.lora_A:
            weight = module.lora_A["default"].weight
            weight.data.copy_(nn.init.kaiming_uniform_(torch.empty(weight.shape), a=math.sqrt(5), generator=start_values))
    trainer.train()
    by_step = [later - earlier for earlier, later in zip([0, *tokens], tokens, strict=False)]
    return clock.result(by_step, [line["loss"] for line in trainer.state.log_history if "loss" in line])


if __name__ == "__main__":
    main()
