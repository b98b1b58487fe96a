"""An exported adapter is what PEFT writes and loads, and what vLLM accepts."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer import lora
from trainer.export import peft_adapter
from trainer.export.peft_adapter import AdapterFacts, serving_notes
from trainer.families.base import Export, Placement
from trainer.families.causal_lm import CausalLMFamily
from trainer.families.text_base import module_targets
from trainer.tiny.causal_lm import make_llama

IDS = torch.arange(3, 23)[None]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "alpha_is_not_the_rank": {"lora_rank": 4, "lora_alpha": 1.5},
    "rslora": {"rslora": True, "lora_rank": 9, "lora_alpha": 2},
    "dora": {"dora": True},
    "all_linear_layers": {"lora_targets": "transformer"},
    "one_layer_alone": {"lora_targets": ["layers.1.self_attn.q_proj"]},
    "with_the_head": {"lora_targets": ["v_proj", "lm_head"]},
}


class Control:
    def check(self) -> None: ...

    def progress(self, what: str, done: int, total: int) -> None: ...

    def warn(self, text: str) -> None: ...


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("base"))


def trained(base: Path, folder: Path, **values: Any) -> tuple[CausalLMFamily, TrainingConfig]:
    """A family whose LoRA changes the logits visibly."""
    config = from_mapping({"train_data_dir": "unused", "base_model": str(base), "output_dir": str(folder), **values})
    family = CausalLMFamily(config)
    family.load(Placement(torch.device("cpu"), torch.float32), Control())
    lora.inject("model", family.adapted()["model"], config, family.targets("model"))
    torch.manual_seed(0)
    for name, parameter in lora.parameters(family.adapted()).items():
        if "magnitude" in name:
            parameter.data.mul_(1.1)
        elif "lora_B" in name:
            parameter.data.normal_(0, 0.2)
    return family, config


def exported(family: CausalLMFamily, folder: Path, name: str = "mine", dtype: torch.dtype = torch.float32) -> Path:
    layers = [layer.copied() for layer in lora.layers("model", family.adapted()["model"])]
    files = family.export(layers, Export(folder, name, "peft", dtype, {"lorafleet_step": "7"}))
    assert [file.name for file in files] == ["adapter_model.safetensors", "adapter_config.json"]
    assert {file.parent for file in files} == {folder / name}
    return folder / name


@torch.no_grad()
def logits(model: Any) -> Tensor:
    return model.eval()(input_ids=IDS).logits  # type: ignore[no-any-return]


def fresh(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base)


@pytest.mark.parametrize("variant", VARIANTS)
def test_peft_loads_the_same_model_on_a_fresh_base(base: Path, tmp_path: Path, variant: str) -> None:
    family, _ = trained(base, tmp_path, **VARIANTS[variant])
    ours = logits(family.adapted()["model"])
    folder = exported(family, tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(missing|unexpected).*keys")
        loaded = PeftModel.from_pretrained(fresh(base), folder)
    assert not torch.allclose(ours, logits(fresh(base)), atol=1e-2)
    torch.testing.assert_close(logits(loaded), ours, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits(loaded.merge_and_unload()), ours, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_files_are_those_that_peft_itself_writes(base: Path, tmp_path: Path, variant: str) -> None:
    family, config = trained(base, tmp_path, **VARIANTS[variant])
    folder = exported(family, tmp_path)
    theirs = get_peft_model(fresh(base), lora.peft_config(config, family.targets("model")))
    theirs.save_pretrained(tmp_path / "theirs", save_embedding_layers=False)
    assert shapes(load_file(folder / peft_adapter.WEIGHTS)) == shapes(load_file(tmp_path / "theirs" / "adapter_model.safetensors"))
    ours, reference = (json.loads((path / peft_adapter.CONFIG).read_text()) for path in (folder, tmp_path / "theirs"))
    assert set(ours) == set(reference)
    for key in (
        "r",
        "lora_alpha",
        "use_rslora",
        "use_dora",
        "bias",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
        "peft_type",
    ):
        assert ours[key] == reference[key]


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def accepted_by_vllm(folder: Path, expected_modules: set[str], max_lora_rank: int) -> list[str]:
    """Why vLLM would refuse an adapter.

    A port of ``PEFTHelper._validate_features`` and ``validate_legal`` (vllm/lora/peft_helper.py), ``parse_fine_tuned_lora_name``
    (vllm/lora/utils.py) and the check of modules in ``LoRAModel.from_local_checkpoint`` (vllm/lora/lora_model.py).
    """
    config = json.loads((folder / "adapter_config.json").read_text())
    reasons = []
    if config.get("modules_to_save"):
        reasons.append("vLLM only supports modules_to_save being None")
    if config.get("use_dora"):
        reasons.append("vLLM does not yet support DoRA")
    if config["r"] > max_lora_rank:
        reasons.append(f"LoRA rank {config['r']} is greater than max_lora_rank {max_lora_rank}")
    if config.get("bias", "none") != "none":
        reasons.append("Adapter bias is not supported")
    if not isinstance(config["r"], int) or not isinstance(config["target_modules"], list | str):
        reasons.append("ill-typed")
    # Read by nothing there, so that an adapter with them is served at another strength.
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        reasons.append("patterns are dropped")
    for name in load_file(folder / "adapter_model.safetensors"):
        parts = name.removeprefix("base_model.model.").split(".")
        if not name.startswith("base_model.model.") or parts[-1] != "weight" or parts[-2] not in ("lora_A", "lora_B"):
            reasons.append(f"{name} is unsupported LoRA weight")
        elif parts[-3] not in expected_modules:
            reasons.append(f"unexpected module {'.'.join(parts[:-2])}")
    return reasons


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"dora"}))
def test_vllm_accepts_the_adapter(base: Path, tmp_path: Path, variant: str) -> None:
    family, _ = trained(base, tmp_path, **VARIANTS[variant])
    expected = {name.rsplit(".", 1)[-1] for name, module in fresh(base).named_modules() if isinstance(module, torch.nn.Linear)}
    assert accepted_by_vllm(exported(family, tmp_path), expected, max_lora_rank=16) == []


def test_the_port_of_vllms_rules_refuses_what_vllm_refuses(base: Path, tmp_path: Path) -> None:
    family, _ = trained(base, tmp_path, dora=True, lora_rank=32)
    reasons = accepted_by_vllm(exported(family, tmp_path), {"q_proj"}, max_lora_rank=16)
    for words in (
        "DoRA",
        "rank 32 is greater",
        "lora_magnitude_vector is unsupported",
        "unexpected module model.layers.0.self_attn.k_proj",
    ):
        assert any(words in reason for reason in reasons), words


@pytest.mark.parametrize(
    ("rank", "dora", "words"),
    [
        (8, False, []),
        (16, False, []),
        (12, False, ["needs --max-lora-rank 16"]),
        (4, False, ["needs --max-lora-rank 8"]),
        (600, False, ["up to 512"]),
        (8, True, ["refuses DoRA"]),
    ],
)
def test_notes_tell_what_serving_needs(rank: int, dora: bool, words: list[str]) -> None:
    notes = serving_notes(rank, dora)
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


def test_the_config_names_the_base_but_no_path(base: Path, tmp_path: Path) -> None:
    family, _ = trained(base, tmp_path)
    text = (exported(family, tmp_path) / peft_adapter.CONFIG).read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny-llama"
    assert "/" not in text


def test_the_header_says_where_the_weights_come_from(base: Path, tmp_path: Path) -> None:
    family, _ = trained(base, tmp_path)
    with safe_open(exported(family, tmp_path) / peft_adapter.WEIGHTS, framework="pt") as opened:
        assert opened.metadata() == {"format": "pt", "lorafleet_step": "7"}


def test_the_weights_have_the_wanted_type(base: Path, tmp_path: Path) -> None:
    family, _ = trained(base, tmp_path)
    tensors = load_file(exported(family, tmp_path, dtype=torch.float16) / peft_adapter.WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_a_second_export_replaces_the_first_and_leaves_nothing_else(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for values in ({"lora_rank": 4}, {"lora_rank": 6}):
        folder = exported(trained(base, tmp_path, **values)[0], out)
    assert sorted(path.name for path in out.iterdir()) == ["mine"]
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((folder / peft_adapter.CONFIG).read_text())["r"] == 6


def test_a_failed_write_leaves_the_old_adapter_and_nothing_else(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    family, _ = trained(base, tmp_path)
    folder = exported(family, out)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LoraConfig, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        exported(family, out)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in out.iterdir()) == ["mine"]


def test_layers_of_several_ranks_are_refused(base: Path, tmp_path: Path) -> None:
    layers = [lora.LoraLayer("model", f"layers.{rank}.q_proj", torch.zeros(rank, 8), torch.zeros(8, rank), 4.0) for rank in (2, 3)]
    with pytest.raises(ValueError, match=r"ranks \[2, 3\]"):
        peft_adapter.write(layers, AdapterFacts("base", ["q_proj"]), Export(tmp_path, "x", "peft", torch.float32, {}))


def test_other_formats_are_refused(base: Path, tmp_path: Path) -> None:
    family, _ = trained(base, tmp_path)
    with pytest.raises(ConfigError, match="export_format: kohya is for image models"):
        family.export([], Export(tmp_path, "x", "kohya", torch.float32, {}))


def test_targets_are_endings_where_they_match_nothing_else() -> None:
    candidates = ["a.0.q", "a.1.q", "a.0.v", "head.v"]
    assert module_targets(["a.0.q", "a.1.q"], candidates) == ["q"]
    assert module_targets(["a.0.v"], candidates) == ["a.0.v"]
