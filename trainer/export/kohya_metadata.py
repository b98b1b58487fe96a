"""The header entries by which web UIs recognize, name and explain a LoRA: ``ss_*`` and ``modelspec.*``.

Sources: sd-scripts ``library/train_util.py`` (SS_METADATA_MINIMUM_KEYS) and ``library/sai_model_spec.py``; AUTOMATIC1111 takes the
base model's version from ``ss_base_model_version`` and ``ss_v2`` and the alias from ``ss_output_name``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.lora import LoraLayer

_MODELSPEC_VERSION = "1.0.1"
# Keys of the training configuration that sd-scripts records under another name.
_FROM_CONFIG = {
    "learning_rate": "ss_learning_rate",
    "text_encoder_learning_rate": "ss_text_encoder_lr",
    "seed": "ss_seed",
    "epochs": "ss_num_epochs",
    "batch_size": "ss_batch_size_per_device",
    "gradient_accumulation": "ss_gradient_accumulation_steps",
    "optimizer": "ss_optimizer",
    "scheduler": "ss_lr_scheduler",
    "warmup_steps": "ss_lr_warmup_steps",
    "max_grad_norm": "ss_max_grad_norm",
    "min_snr_gamma": "ss_min_snr_gamma",
    "noise_offset": "ss_noise_offset",
    "zero_terminal_snr": "ss_zero_terminal_snr",
    "caption_dropout": "ss_caption_dropout_rate",
    "lora_dropout": "ss_network_dropout",
    "cache_latents": "ss_cache_latents",
    "buckets": "ss_enable_bucket",
}
_FROM_FACTS = {"lorafleet_step": "ss_steps", "lorafleet_epoch": "ss_epoch", "lorafleet_trained_at": "modelspec.date"}
_PREDICTION_TYPES = {"epsilon": "epsilon", "v_prediction": "v"}


@dataclass(frozen=True)
class _Base:
    version: str
    architecture: str
    implementation: str
    resolution: int


_BASES = {
    "sd15": _Base("sd_v1", "stable-diffusion-v1/lora", "diffusers", 512),
    "sdxl": _Base("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora", "https://github.com/Stability-AI/generative-models", 1024),
}


def kohya_metadata(layers: Sequence[LoraLayer], family: str, name: str, facts: Mapping[str, str]) -> dict[str, str]:
    """Header entries for these layers; ``facts`` is the run's provenance (:func:`trainer.provenance.header`) and is kept in full.

    ``ss_network_alpha`` is the alpha that the file's tensors hold, which for rsLoRA is not the configured one.
    """
    base = _BASES[family]
    config = json.loads(facts.get("lorafleet_config", "{}"))
    resolution = config.get("resolution") or base.resolution
    entries = {
        "ss_v2": "False",
        "ss_base_model_version": base.version,
        **_network(layers),
        "ss_output_name": name,
        "ss_resolution": f"({resolution}, {resolution})",
        "modelspec.sai_model_spec": _MODELSPEC_VERSION,
        "modelspec.architecture": base.architecture,
        "modelspec.implementation": base.implementation,
        "modelspec.title": name,
        "modelspec.resolution": f"{resolution}x{resolution}",
    }
    entries |= {theirs: str(config[ours]) for ours, theirs in _FROM_CONFIG.items() if config.get(ours) is not None}
    entries |= {theirs: facts[ours] for ours, theirs in _FROM_FACTS.items() if ours in facts}
    if config.get("prediction_type") in _PREDICTION_TYPES:
        entries["modelspec.prediction_type"] = _PREDICTION_TYPES[config["prediction_type"]]
    if config.get("trigger_word"):
        entries["modelspec.trigger_phrase"] = config["trigger_word"]
    return {**entries, **facts}


def _network(layers: Sequence[LoraLayer]) -> dict[str, str]:
    dora = any(layer.magnitude is not None for layer in layers)
    arguments = {"algo": "lora", "dora_wd": "True", "wd_on_output": "True"} if dora else {}
    return {
        "ss_network_module": "lycoris.kohya" if dora else "networks.lora",
        "ss_network_dim": _one({str(layer.rank) for layer in layers}),
        "ss_network_alpha": _one({str(layer.scale * layer.rank) for layer in layers}),
        "ss_network_args": json.dumps(arguments),
    }


def _one(values: set[str]) -> str:
    # sd-scripts' own word for a file whose layers differ.
    return values.pop() if len(values) == 1 else "Dynamic"
