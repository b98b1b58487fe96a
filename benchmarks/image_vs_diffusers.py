"""Image LoRA training: lorafleet against a plain loop of diffusers' own pieces, with the same arithmetic, in one run.

Both sides train the same LoRA (peft, same targets, rank, fp32 LoRA weights), the same optimizer settings, the same precision, the same
batch of the same resolution. Either both cache latents and text, or neither does. The plain loop is what diffusers' documentation and
example scripts teach: DataLoader, add_noise, UNet, mse_loss, backward, AdamW, ``loss.item()`` for the progress bar.

Sides run alternately in processes of their own; each figure is the median over the repetitions. Usage:

    python benchmarks/image_vs_diffusers.py [--size tiny|sd15|sdxl] [--batch 4] [--steps 40] [--repeats 5] [--json]

``sd15`` and ``sdxl`` are the full-size architectures with random weights; they want a CUDA device.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARMUP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("tiny", "sd15", "sdxl"), default="tiny")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=("ours", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--cached", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.resolution = options.resolution or {"tiny": 128, "sd15": 512, "sdxl": 1024}[options.size]
    if options.side:
        print(json.dumps({"ours": ours, "plain": plain}[options.side](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        prepare(options)
        rows = [compare(options, cached) for cached in (True, False)]
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=1))
        return
    print(
        f"{machine()}; {options.size}, batch {options.batch}, {options.resolution} px, {options.steps} steps, median of {options.repeats}"
    )
    for row in rows:
        print(f"\n{row['mode']}")
        for name, unit in (
            ("steps_per_second", "steps/s"),
            ("first_step_seconds", "s to the first step"),
            ("peak_mib", "MiB peak"),
        ):
            mine, theirs = row["ours"][name], row["plain"][name]
            print(f"  {unit:22} ours {mine:9.3f}   plain {theirs:9.3f}   ratio {mine / theirs:.2f}")
        print(f"  beside training        ours {row['ours']['beside_share']:.2%} of the time (checkpoints, logging, progress)")
        print(f"  loss over the run      ours {row['ours']['loss']:.4f}   plain {row['plain']['loss']:.4f}")


def machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return f"{model or platform.machine()}, {torch.get_num_threads()} threads"


def prepare(options: argparse.Namespace) -> None:
    import numpy as np
    from PIL import Image

    images = options.folder / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    lines = ["file_name,text"]
    for number in range(max(16, options.batch)):
        coarse = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((options.resolution,) * 2, Image.Resampling.BICUBIC).save(images / f"{number}.png")
        lines.append(f"{number}.png,picture number {number}")
    (images / "metadata.csv").write_text("\n".join(lines) + "\n")
    make_base(options)


def make_base(options: argparse.Namespace) -> None:
    from trainer.tiny.stable_diffusion import make_sd15

    if options.size == "tiny":
        make_sd15(options.folder / "base")
        return
    from full_size import make_full_size

    make_full_size(options.folder / "base", options.size)


def compare(options: argparse.Namespace, cached: bool) -> dict[str, Any]:
    results: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    for repeat in range(options.repeats):
        for side in ("ours", "plain") if repeat % 2 == 0 else ("plain", "ours"):
            command = [sys.executable, __file__, "--side", side, "--folder", str(options.folder), "--size", options.size]
            command += ["--batch", str(options.batch), "--steps", str(options.steps), "--resolution", str(options.resolution)]
            command += ["--cached"] if cached else []
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "STARTED": str(time.time())},
            )
            results[side].append(json.loads(done.stdout.splitlines()[-1]))
    mode = "both cache latents and text" if cached else "neither caches: VAE and text encoder run every step"
    medians = {side: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for side, runs in results.items()}
    return {"mode": mode, **medians, "all": results}


def peak_mib() -> float:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def since_start() -> float:
    """Seconds since the parent started this process: imports, loading and encoding count."""
    return time.time() - float(os.environ["STARTED"])


def base_paths(options: argparse.Namespace) -> tuple[Path, Path | None]:
    folder = options.folder / "base"
    single = next(folder.glob("*.safetensors"), None)
    return (single, next(path for path in folder.iterdir() if path.is_dir())) if single else (folder, None)


def ours(options: argparse.Namespace) -> dict[str, float]:
    import torch

    from trainer import LoRATrainer
    from trainer.reporting import SilentReporter, StepFacts

    times: list[float] = []
    first = 0.0

    class Clock(SilentReporter):
        def step(self, facts: StepFacts) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            nonlocal first
            first = first or since_start()
            times.append(time.perf_counter())

    base, config = base_paths(options)
    out = tempfile.mkdtemp(dir=options.folder)
    trainer = LoRATrainer(
        {
            "train_data_dir": str(options.folder / "images"),
            "base_model": str(base),
            "base_config": str(config) if config else None,
            "output_dir": out,
            "resolution": options.resolution,
            "bucket_step": 8,
            "batch_size": options.batch,
            "epochs": 10**6,
            "max_steps": options.steps,
            "learning_rate": 1e-4,
            "lora_targets": "attention",
            "lora_rank": 8,
            "max_grad_norm": 1.0,
            "cache_latents": options.cached,
            "cache_text": options.cached,
        },
        reporter=Clock(),
    )
    result = trainer.train()
    steps = [later - earlier for earlier, later in zip(times[WARMUP:], times[WARMUP + 1 :], strict=False)]
    return {
        "steps_per_second": 1 / statistics.median(steps),
        "first_step_seconds": first,
        "peak_mib": peak_mib(),
        "loss": result.loss,
        "beside_share": result.beside_share,
    }


def plain(options: argparse.Namespace) -> dict[str, float]:
    import numpy as np
    import torch
    from diffusers import DDPMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
    from peft import LoraConfig
    from PIL import Image
    from torch.nn import functional
    from torch.utils.data import DataLoader

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compute = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(42)
    base, config = base_paths(options)
    kind = StableDiffusionXLPipeline if options.size == "sdxl" else StableDiffusionPipeline
    pipeline: Any = (
        kind.from_single_file(str(base), config=str(config), local_files_only=True, torch_dtype=compute)
        if config
        else kind.from_pretrained(str(base), torch_dtype=compute)
    )
    unet, vae = pipeline.unet.to(device), pipeline.vae.to(device, torch.float32)
    encoders = [
        encoder.to(device) for encoder in (pipeline.text_encoder, getattr(pipeline, "text_encoder_2", None)) if encoder is not None
    ]
    tokenizers = [tokenizer for tokenizer in (pipeline.tokenizer, getattr(pipeline, "tokenizer_2", None)) if tokenizer is not None]
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    for module in (unet, vae, *encoders):
        module.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01)

    def load(number: int) -> dict[str, Any]:
        image = Image.open(options.folder / "images" / f"{number}.png").convert("RGB")
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 127.5 - 1
        ids = [
            tokenizer(
                f"picture number {number}", padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            ).input_ids[0]
            for tokenizer in tokenizers
        ]
        return {"pixels": pixels, **{f"ids_{index}": row for index, row in enumerate(ids)}}

    @torch.no_grad()
    def encode_text(rows: dict[str, Any]) -> dict[str, Any]:
        ids = [rows[f"ids_{index}"].to(device) for index in range(len(tokenizers))]
        if len(encoders) == 1:
            return {"hidden": encoders[0](ids[0])[0]}
        outputs = [encoder(part, output_hidden_states=True) for encoder, part in zip(encoders, ids, strict=True)]
        return {"hidden": torch.cat([output.hidden_states[-2] for output in outputs], -1), "pooled": outputs[1][0]}

    @torch.no_grad()
    def encode_image(pixels: Any) -> Any:
        return vae.encode(pixels.to(device)).latent_dist

    count = len(list((options.folder / "images").glob("*.png")))
    data: list[Any] = [load(number) for number in range(count)]
    if options.cached:
        for number, row in enumerate(data):
            batched = {name: tensor[None] for name, tensor in row.items()}
            text = {name: tensor[0].cpu() for name, tensor in encode_text(batched).items()}
            data[number] = {"moments": encode_image(batched["pixels"]).parameters[0].cpu(), **text}
        vae.cpu()
        for encoder in encoders:
            encoder.cpu()
    loader = DataLoader(
        data if options.cached else _Lazy(count, load),
        batch_size=options.batch,
        shuffle=True,
        drop_last=True,
        pin_memory=device.type == "cuda",
    )
    times, losses, first = [], [], 0.0
    while len(times) < options.steps:
        for rows in loader:
            with torch.no_grad():
                if options.cached:
                    mean, log_variance = rows["moments"].to(device).chunk(2, dim=1)
                    latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
                    text = {name: rows[name].to(device) for name in ("hidden", "pooled") if name in rows}
                else:
                    latents, text = encode_image(rows["pixels"]).sample(), encode_text(rows)
                latents = latents * vae.config.scaling_factor
            noise = torch.randn_like(latents)
            timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),), device=device)
            noisy = scheduler.add_noise(latents, noise, timesteps)
            extra = None
            if "pooled" in text:
                size = torch.tensor(
                    [[options.resolution, options.resolution, 0, 0, options.resolution, options.resolution]], device=device
                )
                extra = {"text_embeds": text["pooled"], "time_ids": size.repeat(len(latents), 1)}
            with torch.autocast(device.type, dtype=compute, enabled=device.type == "cuda"):
                prediction = unet(noisy.to(compute), timesteps, text["hidden"], added_cond_kwargs=extra).sample
            loss = functional.mse_loss(prediction.float(), noise.float())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            first = first or since_start()
            times.append(time.perf_counter())
            if len(times) == options.steps:
                break
    steps = [later - earlier for earlier, later in zip(times[WARMUP:], times[WARMUP + 1 :], strict=False)]
    return {
        "steps_per_second": 1 / statistics.median(steps),
        "first_step_seconds": first,
        "peak_mib": peak_mib(),
        "loss": statistics.mean(losses[-10:]),
        "beside_share": 0.0,
    }


class _Lazy:
    def __init__(self, count: int, load: Any) -> None:
        self._count, self._load = count, load

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._load(index)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
