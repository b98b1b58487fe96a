"""The names under which other tools look for a LoRA layer, whatever the libraries of today call the module."""

from trainer.families.ldm_keys import SDXL_UNET, standard_text_name, unet_name
from trainer.lora import LoraLayer

_KOHYA_PREFIXES = {
    "sd15": {"unet": "lora_unet", "text_encoder": "lora_te"},
    "sdxl": {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
}


def standard_path(layer: LoraLayer) -> str:
    """The module's path in its component, in a text encoder always beginning with ``text_model.``."""
    return standard_text_name(layer.path) if layer.component.startswith("text_encoder") else layer.path


def kohya_name(layer: LoraLayer, family: str) -> str:
    """``lora_unet_down_blocks_0_…`` for SD 1.x; for SDXL the UNet's blocks have their SGM names, as sd-scripts writes them.

    Raises:
        ValueError: SGM has no such module.
    """
    path = standard_path(layer)
    if family == "sdxl" and layer.component == "unet":
        path = unet_name(path, SDXL_UNET)
    return f"{_KOHYA_PREFIXES[family][layer.component]}_{path.replace('.', '_')}"
