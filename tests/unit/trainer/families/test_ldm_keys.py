import pytest
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from trainer.families.detect import read_json
from trainer.families.image_base import packaged_config
from trainer.families.ldm_keys import (
    SD15_UNET,
    SDXL_UNET,
    Part,
    UNetTopology,
    open_clip_tensor,
    standard_text_name,
    text_tensor,
    unet_name,
    vae_name,
)

# Written down from the format by hand; that whole files are read bit-exactly by diffusers is tested with the loader.
IN_THE_FORMAT = {
    SD15_UNET: {
        "conv_in.weight": "input_blocks.0.0.weight",
        "time_embedding.linear_2.bias": "time_embed.2.bias",
        "down_blocks.0.attentions.0.proj_in.weight": "input_blocks.1.1.proj_in.weight",
        "down_blocks.0.downsamplers.0.conv.weight": "input_blocks.3.0.op.weight",
        "down_blocks.1.resnets.0.conv_shortcut.weight": "input_blocks.4.0.skip_connection.weight",
        "down_blocks.3.resnets.1.time_emb_proj.bias": "input_blocks.11.0.emb_layers.1.bias",
        "mid_block.resnets.1.conv1.weight": "middle_block.2.in_layers.2.weight",
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight": "middle_block.1.transformer_blocks.0.ff.net.0.proj.weight",
        "up_blocks.0.upsamplers.0.conv.bias": "output_blocks.2.1.conv.bias",
        "up_blocks.1.upsamplers.0.conv.bias": "output_blocks.5.2.conv.bias",
        "up_blocks.3.attentions.2.proj_out.bias": "output_blocks.11.1.proj_out.bias",
        "up_blocks.3.resnets.2.norm2.weight": "output_blocks.11.0.out_layers.0.weight",
        "conv_norm_out.weight": "out.0.weight",
        "conv_out.bias": "out.2.bias",
    },
    SDXL_UNET: {
        "add_embedding.linear_1.weight": "label_emb.0.0.weight",
        "down_blocks.1.attentions.0.transformer_blocks.1.ff.net.2.bias": "input_blocks.4.1.transformer_blocks.1.ff.net.2.bias",
        "down_blocks.2.attentions.1.norm.weight": "input_blocks.8.1.norm.weight",
        "up_blocks.0.attentions.0.proj_in.weight": "output_blocks.0.1.proj_in.weight",
        "up_blocks.0.upsamplers.0.conv.weight": "output_blocks.2.2.conv.weight",
        "up_blocks.1.upsamplers.0.conv.weight": "output_blocks.5.2.conv.weight",
        "up_blocks.2.resnets.2.conv2.weight": "output_blocks.8.0.out_layers.3.weight",
    },
}


@pytest.mark.parametrize(("topology", "name"), [(topology, name) for topology, names in IN_THE_FORMAT.items() for name in names])
def test_unet_names_are_those_of_the_original_format(topology: UNetTopology, name: str) -> None:
    assert unet_name(name, topology) == IN_THE_FORMAT[topology][name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder.down_blocks.0.downsamplers.0.conv.weight", "encoder.down.0.downsample.conv.weight"),
        ("encoder.down_blocks.2.resnets.0.conv_shortcut.bias", "encoder.down.2.block.0.nin_shortcut.bias"),
        ("encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"),
        ("decoder.mid_block.resnets.1.norm1.weight", "decoder.mid.block_2.norm1.weight"),
        ("decoder.up_blocks.0.upsamplers.0.conv.weight", "decoder.up.3.upsample.conv.weight"),
        ("decoder.up_blocks.3.resnets.2.conv2.weight", "decoder.up.0.block.2.conv2.weight"),
        ("decoder.conv_norm_out.bias", "decoder.norm_out.bias"),
        ("decoder.conv_in.bias", "decoder.conv_in.bias"),
        ("post_quant_conv.weight", "post_quant_conv.weight"),
    ],
)
def test_vae_names_are_those_of_the_original_format(name: str, expected: str) -> None:
    assert vae_name(name, blocks=4) == expected


@pytest.mark.parametrize(("family", "topology", "count"), [("sd15", SD15_UNET, 686), ("sdxl", SDXL_UNET, 1680)])
def test_every_parameter_of_the_real_unet_has_a_name_of_its_own(family: str, topology: UNetTopology, count: int) -> None:
    with init_empty_weights():
        unet = UNet2DConditionModel.from_config(read_json(packaged_config(family) / "unet" / "config.json"))
    assert UNetTopology.of(unet.config.layers_per_block, unet.config.up_block_types) == topology
    names = {unet_name(name, topology) for name in unet.state_dict()}
    assert len(names) == count == len(unet.state_dict())
    assert not any(
        "_blocks.0.resnets" in name or "conv_shortcut" in name or name.startswith(("down", "up", "mid_")) for name in names
    )


def test_every_parameter_of_the_real_vae_has_a_name_of_its_own() -> None:
    with init_empty_weights():
        vae = AutoencoderKL.from_config(read_json(packaged_config("sd15") / "vae" / "config.json"))
    assert len({vae_name(name, 4) for name in vae.state_dict()}) == 248 == len(vae.state_dict())


def test_open_clip_holds_query_key_and_value_together_and_everything_else_once() -> None:
    with init_empty_weights():
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(num_hidden_layers=3))
    places = [open_clip_tensor(standard_text_name(name)) for name in encoder.state_dict()]
    assert len(set(places)) == len(places)
    shared = [place for place in places if place.part is not Part.WHOLE]
    assert len(shared) == 3 * 2 * 3
    assert {place.key for place in shared} == {
        f"transformer.resblocks.{n}.attn.in_proj_{leaf}" for n in range(3) for leaf in ("weight", "bias")
    }
    assert [place.key for place in places if place.transposed] == ["text_projection"]


@given(
    layers=st.integers(1, 4),
    attention=st.frozensets(st.integers(0, 5)),
    block=st.integers(0, 5),
    data=st.data(),
)
def test_block_numbers_are_those_that_diffusers_counts_back(
    layers: int, attention: frozenset[int], block: int, data: st.DataObject
) -> None:
    topology = UNetTopology(layers, attention)
    index = data.draw(st.integers(0, layers - 1))
    # diffusers: convert_ldm_unet_checkpoint
    number = int(unet_name(f"down_blocks.{block}.resnets.{index}.norm1.weight", topology).split(".")[1])
    assert ((number - 1) // (layers + 1), (number - 1) % (layers + 1)) == (block, index)
    number = int(unet_name(f"up_blocks.{block}.attentions.{index}.norm.weight", topology).split(".")[1])
    assert (number // (layers + 1), number % (layers + 1)) == (block, index)
    sampler = unet_name(f"up_blocks.{block}.upsamplers.0.conv.weight", topology)
    assert sampler == f"output_blocks.{(block + 1) * (layers + 1) - 1}.{2 if block in attention else 1}.conv.weight"


@given(st.sampled_from([name.rpartition(".")[0] for name in IN_THE_FORMAT[SD15_UNET]]))
def test_a_module_is_named_like_its_parameters(module: str) -> None:
    assert f"{unet_name(module, SD15_UNET)}.weight" == unet_name(f"{module}.weight", SD15_UNET)


def test_text_encoder_names_do_not_depend_on_the_release_of_transformers() -> None:
    old, new = "text_model.encoder.layers.0.mlp.fc1.weight", "encoder.layers.0.mlp.fc1.weight"
    assert standard_text_name(old) == standard_text_name(new) == old
    assert standard_text_name("text_projection.weight") == "text_projection.weight"
    assert text_tensor("sd15", 0)(old).key == f"cond_stage_model.transformer.{old}"
    assert text_tensor("sdxl", 0)(old).key == f"conditioner.embedders.0.transformer.{old}"
    assert text_tensor("sdxl", 1)(old).key == "conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc.weight"


@pytest.mark.parametrize("name", ["", "unknown.weight", "down_blocks.weight", "conv_inner.weight"])
def test_a_name_that_the_format_lacks_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="no UNet module"):
        unet_name(name, SD15_UNET)
    with pytest.raises(ValueError, match="no VAE parameter"):
        vae_name(name, 4)
    with pytest.raises(ValueError, match="no parameter"):
        open_clip_tensor(name)
