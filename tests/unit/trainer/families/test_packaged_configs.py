import pytest
from accelerate import init_empty_weights
from torch import nn

from trainer.families.image_base import _build, packaged_config

# Of the published models: runwayml/stable-diffusion-v1-5 and stabilityai/stable-diffusion-xl-base-1.0.
PARAMETERS = {
    ("sd15", "unet"): 859_520_964,
    ("sd15", "vae"): 83_653_863,
    ("sd15", "text_encoder"): 123_060_480,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
}


@pytest.mark.parametrize(("family", "component"), PARAMETERS)
def test_each_config_builds_the_published_architecture(family: str, component: str) -> None:
    with init_empty_weights():
        module = _build(packaged_config(family) / component)
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMETERS[family, component]
    if (family, component) == ("sd15", "unet"):
        assert _count(module, (".to_q", ".to_k", ".to_v", ".to_out.0", ".proj", ".net.2", ".proj_in", ".proj_out")) == 192
    if component == "text_encoder":
        assert _count(module, (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")) == 72


def _count(module: nn.Module, endings: tuple[str, ...]) -> int:
    return sum(name.endswith(endings) and isinstance(child, nn.Linear | nn.Conv2d) for name, child in module.named_modules())
