"""The family as the loop uses it, on a tiny Llama and on architectures that compute logits in their own way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from lorafleet.contracts.problems import ConfigError, DataError, NoInputError, Preempted
from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer import lora
from trainer.families.base import MicroBatch, Placement, RowRef
from trainer.families.catalog import choose
from trainer.families.causal_lm import CausalLMFamily
from trainer.tiny.causal_lm import make_llama

CPU = Placement(torch.device("cpu"), torch.float32)
BF16 = Placement(torch.device("cpu"), torch.bfloat16)
ROWS: list[dict[str, Any]] = [
    {"prompt": "What is the capital of France?", "completion": " Paris."},
    {"prompt": "Count to five.", "completion": " One, two, three, four, five."},
    {"prompt": "a photo of", "completion": " a cat and a dog"},
    {"text": "The capital of France is Paris."},
    {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A cat."}]},
    {"prompt": "a style of", "completion": " a"},
]


class Control:
    def __init__(self, stop_after: int = 10**9) -> None:
        self.warnings: list[str] = []
        self.checks = 0
        self._stop_after = stop_after

    def check(self) -> None:
        self.checks += 1
        if self.checks > self._stop_after:
            raise Preempted("told to stop")

    def progress(self, what: str, done: int, total: int) -> None: ...

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def config(base: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    def make(rows: list[dict[str, Any]] = ROWS, **values: Any) -> TrainingConfig:
        data = tmp_path / "data.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        defaults = {"base_model": str(base), "output_dir": str(tmp_path / "out"), "max_length": 64, "lora_rank": 4, "lora_alpha": 8}
        return from_mapping({"train_data_dir": str(data), **defaults, **values})

    return make


def ready(
    config: TrainingConfig, placement: Placement = CPU, control: Control | None = None, noise: float = 0.05
) -> CausalLMFamily:
    """A family with a LoRA that changes something."""
    control = control or Control()
    family = CausalLMFamily(config)
    family.read(control)
    family.load(placement, control)
    lora.inject("model", family.adapted()["model"], config, family.targets("model"))
    torch.manual_seed(1)
    for name, parameter in lora.parameters(family.adapted()).items():
        if "lora_B" in name:
            parameter.data.normal_(0, noise)
    return family


def batch_of(family: CausalLMFamily, *indices: int) -> MicroBatch:
    data, _ = family.encode(Control())
    return data.collate([RowRef(index, 0) for index in indices or range(len(data))])


def gradients(family: CausalLMFamily, batches: list[MicroBatch]) -> dict[str, Tensor]:
    weight = sum(sum(batch.weights) for batch in batches)
    parameters = lora.parameters(family.adapted())
    for parameter in parameters.values():
        parameter.grad = None
    for batch in batches:
        torch.manual_seed(0)
        (family.loss(batch) / weight).backward()  # type: ignore[no-untyped-call]
    return {name: parameter.grad.clone() for name, parameter in parameters.items() if parameter.grad is not None}


def naive_loss(family: CausalLMFamily, batch: MicroBatch) -> Tensor:
    """One unpacked row after the other, by the model's own loss."""
    total = torch.zeros(())
    positions = batch.tensors.get("position_ids")
    for row in range(len(batch)):
        starts = [0] if positions is None else (positions[row] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            ids, labels = (batch.tensors[name][row : row + 1, start:end] for name in ("input_ids", "labels"))
            logits = family.adapted()["model"](input_ids=ids).logits.float()
            total = total + functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100, reduction="sum")
    return total


@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_is_the_sum_over_target_tokens_of_unpacked_examples(config: Callable[..., TrainingConfig], packing: bool) -> None:
    family = ready(config(packing=packing))
    batch = batch_of(family)
    assert len(batch) < len(ROWS) if packing else len(batch) == len(ROWS)
    torch.testing.assert_close(family.loss(batch), naive_loss(family, batch))


@pytest.mark.parametrize("packing", [True, False])
def test_accumulation_does_not_change_the_gradient(config: Callable[..., TrainingConfig], packing: bool) -> None:
    family = ready(config(packing=packing))
    count = len(family.encode(Control())[0])
    assert count > 1
    together = gradients(family, [batch_of(family)])
    apart = gradients(family, [batch_of(family, index) for index in range(count)])
    assert together
    for name, gradient in together.items():
        torch.testing.assert_close(apart[name], gradient)


def test_packing_does_not_change_the_gradient_of_an_epoch(config: Callable[..., TrainingConfig]) -> None:
    packed, single = (ready(config(packing=packing)) for packing in (True, False))
    ours, theirs = gradients(packed, [batch_of(packed)]), gradients(single, [batch_of(single)])
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient)


def test_recomputing_activations_is_exact_also_with_dropout(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config(lora_dropout=0.3))
    family.adapted()["model"].train()
    batch = batch_of(family)
    kept = gradients(family, [batch])
    family.gradient_checkpointing(True)
    recomputed = gradients(family, [batch])
    family.gradient_checkpointing(False)
    again = gradients(family, [batch])
    for name, gradient in kept.items():
        assert torch.equal(gradient, recomputed[name])
        assert torch.equal(gradient, again[name])


def test_recomputing_really_recomputes(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config())
    model = family.adapted()["model"].train()
    calls = []
    model.get_submodule("model.layers.0.self_attn.q_proj").register_forward_hook(lambda *_: calls.append(1))
    batch = batch_of(family)
    for on, expected in ((True, 2), (False, 1)):
        calls.clear()
        family.gradient_checkpointing(on)
        gradients(family, [batch])
        assert len(calls) == expected


def test_bf16_keeps_the_lora_in_fp32_and_stays_near_fp32(config: Callable[..., TrainingConfig]) -> None:
    family, exact = ready(config(), BF16), ready(config())
    assert {parameter.dtype for parameter in lora.parameters(family.adapted()).values()} == {torch.float32}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = family.loss(batch_of(family))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact.loss(batch_of(exact)), rtol=1e-2, atol=0)


def make_base(folder: Path, kind: str, tokenizer_from: Path, **more: Any) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_from)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**{**sizes, **more}))
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.data.mul_(5)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "more", "targets"),
    [
        ("qwen3", {"head_dim": 8, "tie_word_embeddings": True}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("gemma2", {"head_dim": 8, "sliding_window": 8, "final_logit_softcapping": 1.0}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("granite", {"logits_scaling": 4.0}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("gpt_neox", {}, {"query_key_value", "dense"}),
    ],
)
def test_each_architecture_has_its_own_logits_and_names(
    config: Callable[..., TrainingConfig], base: Path, tmp_path: Path, kind: str, more: dict[str, Any], targets: set[str]
) -> None:
    control = Control()
    family = ready(config(base_model=str(make_base(tmp_path / kind, kind, base, **more))), control=control)
    assert set(family.targets("model")) == targets
    assert not [warning for warning in control.warnings if "packing" in warning]
    batch = batch_of(family)
    torch.testing.assert_close(family.loss(batch), naive_loss(family, batch))
    assert len(gradients(family, [batch])) == 2 * 2 * len(targets)


def test_a_model_that_mixes_packed_examples_is_trained_unpacked_and_says_so(
    config: Callable[..., TrainingConfig], base: Path, tmp_path: Path
) -> None:
    # Mamba has no attention that a position could restart: its state runs on into the next example.
    folder = make_base(tmp_path / "mamba", "mamba", base, state_size=4)
    control = Control()
    family = ready(config(base_model=str(folder), lora_targets=["in_proj", "x_proj"]), control=control)
    assert any(warning.startswith("packing: off") for warning in control.warnings)
    batch = batch_of(family)
    assert len(batch) == len(ROWS)
    assert family.metadata()["lorafleet_packing"] == "false"
    torch.testing.assert_close(family.loss(batch), naive_loss(family, batch))


def test_transformer_targets_are_all_linear_layers_but_the_head(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config(lora_targets="transformer"))
    assert set(family.targets("model")) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len({layer.path for layer in lora.layers("model", family.adapted()["model"])}) == 2 * 7


def test_a_head_with_a_lora_is_trained_too(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config(lora_targets=["q_proj", "lm_head"]))
    batch = batch_of(family)
    torch.testing.assert_close(family.loss(batch), naive_loss(family, batch))
    assert any("lm_head" in name for name in gradients(family, [batch]))


@pytest.mark.parametrize(
    ("names", "words"), [(["q_prj"], "no 'q_prj' .it has down_proj"), (["embed_tokens"], "model.embed_tokens is no linear layer")]
)
def test_targets_that_cannot_be_trained_are_refused(config: Callable[..., TrainingConfig], names: list[str], words: str) -> None:
    family = CausalLMFamily(config(lora_targets=names))
    family.read(Control())
    family.load(CPU, Control())
    with pytest.raises(ConfigError, match=words):
        family.targets("model")


def test_a_split_holds_out_the_same_texts_whatever_their_order(config: Callable[..., TrainingConfig]) -> None:
    held_out = []
    for rows in (ROWS, ROWS[::-1]):
        family = ready(config(rows, validation_split=0.34, packing=False))
        training, validation = family.encode(Control())
        assert validation is not None
        assert (len(training), len(validation)) == (4, 2)
        held_out.append(sorted(map(tuple, validation.collate([RowRef(0, 0), RowRef(1, 0)]).tensors["input_ids"].tolist())))
    assert held_out[0] == held_out[1]


def test_cuts_and_losses_of_examples_are_told_by_name(config: Callable[..., TrainingConfig]) -> None:
    control = Control()
    long = {"prompt": "a photo of a cat and a dog " * 3, "completion": " late"}
    family = ready(config([*ROWS, long], max_length=8), control=control)
    family.encode(control)
    assert any("longer than max_length: 8 tokens were cut" in warning for warning in control.warnings)
    assert any("left out, with no token to learn" in warning and "data.jsonl:7" in warning for warning in control.warnings)


def test_a_set_with_nothing_to_learn_is_refused(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config([{"prompt": "a photo of a cat and a dog " * 3, "completion": " late"}], max_length=8))
    with pytest.raises(DataError, match="no example has a token to learn within max_length: 8 tokens"):
        family.encode(Control())


def test_rows_are_never_longer_than_the_model_was_made_for(config: Callable[..., TrainingConfig]) -> None:
    control = Control()
    ready(config(max_length=4096), control=control)
    assert "max_length: the model was made for 512 tokens, so rows have 512 and not 4096" in control.warnings


def test_conversations_need_a_template_and_say_so_before_the_weights_are_read(
    config: Callable[..., TrainingConfig], base: Path, tmp_path: Path
) -> None:
    folder = copy_of(base, tmp_path / "no_template")
    (folder / "chat_template.jinja").unlink()
    (folder / "model.safetensors").write_bytes(b"never read")
    family = CausalLMFamily(config(base_model=str(folder)))
    family.read(Control())
    with pytest.raises(ConfigError, match="no chat template"):
        family.load(CPU, Control())
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}")
    (folder / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    family = ready(config([ROWS[4]], base_model=str(folder), chat_template=str(template), completion_only=False))
    assert len(batch_of(family)) == 1


def test_a_template_file_that_is_not_there_is_named(config: Callable[..., TrainingConfig]) -> None:
    family = CausalLMFamily(config(chat_template="nowhere.jinja"))
    family.read(Control())
    with pytest.raises(ConfigError, match=r"nowhere\.jinja: chat_template: cannot read the file"):
        family.load(CPU, Control())


def copy_of(base: Path, target: Path) -> Path:
    target.mkdir()
    for file in base.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def one_weight_less(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def half_a_file(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def own_code(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    values |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(values))


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (only_a_pickle, ConfigError, r"pytorch_model\.bin is a pickle"),
        (no_weights, NoInputError, r"there is no \.safetensors file"),
        (one_weight_less, ConfigError, r"lack 1 tensors: model\.layers\.1\.mlp\.up_proj\.weight"),
        (half_a_file, NoInputError, "a weights file is damaged"),
        (own_code, ConfigError, "cannot load the"),
        (no_config, NoInputError, r"config\.json: cannot read the file"),
    ],
)
def test_a_base_that_is_not_whole_is_refused_in_one_line(
    config: Callable[..., TrainingConfig],
    base: Path,
    tmp_path: Path,
    harm: Callable[[Path], None],
    error: type[ConfigError | NoInputError],
    words: str,
) -> None:
    folder = copy_of(base, tmp_path / "harmed")
    harm(folder)
    family = CausalLMFamily(config(base_model=str(folder)))
    family.read(Control())
    with pytest.raises(error, match=words) as caught:
        family.load(CPU, Control())
    assert "\n" not in str(caught.value)


def test_tied_weights_count_as_found(config: Callable[..., TrainingConfig], base: Path, tmp_path: Path) -> None:
    folder = make_base(tmp_path / "tied", "llama", base, tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    ready(config(base_model=str(folder)))


def test_samples_are_the_models_own_greedy_words(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config(sample_max_tokens=6))
    model = family.adapted()["model"].train()
    first = family.sample(["Who are you?", "a"], 0, Control())
    assert first == family.sample(["Who are you?", "a"], 0, Control())
    assert model.training
    tokenizer = AutoTokenizer.from_pretrained(family._config.base_model)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    model.eval()
    for _ in range(6):
        ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    assert first[1].text == tokenizer.decode(ids[0, -6:], skip_special_tokens=True)


def test_sampling_stops_between_two_tokens_when_told(config: Callable[..., TrainingConfig]) -> None:
    family = ready(config(sample_max_tokens=400))
    model = family.adapted()["model"].train()
    control = Control(stop_after=3)
    with pytest.raises(Preempted):
        family.sample(["a"], 0, control)
    assert control.checks == 4
    assert model.training


def test_the_family_is_found_by_name_and_by_its_base(config: Callable[..., TrainingConfig]) -> None:
    assert isinstance(choose(config()), CausalLMFamily)
    assert isinstance(choose(config(family="causal_lm")), CausalLMFamily)


def test_the_facts_tell_texts_and_bases_apart(config: Callable[..., TrainingConfig], base: Path, tmp_path: Path) -> None:
    def facts(**values: Any) -> tuple[str, str]:
        family = ready(config(**values))
        family.encode(Control())
        return family.metadata()["lorafleet_data_sha256"], family.metadata()["lorafleet_base_sha256"]

    data, weights = facts()
    assert facts() == (data, weights)
    assert facts(rows=ROWS[:5])[0] != data
    other = facts(base_model=str(make_llama(tmp_path / "other", seed=1)))
    assert other[0] == data
    assert other[1] != weights
