from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, CLIPTokenizer

from trainer.digests import sha256_of
from trainer.tiny.causal_lm import make_llama
from trainer.tiny.stable_diffusion import TinyBase, make_sd15


def test_the_same_seed_makes_the_same_file_and_leaves_the_global_generator_alone(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = make_sd15(tmp_path / "again")
    assert torch.equal(before, torch.get_rng_state())
    assert sha256_of(again.checkpoint) == sha256_of(tiny_sd15.checkpoint)
    assert sha256_of(make_sd15(tmp_path / "other", seed=1).checkpoint) != sha256_of(tiny_sd15.checkpoint)


def test_the_tiny_vocabulary_splits_any_text_and_ends_with_its_largest_id(tiny_sd15: TinyBase) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(tiny_sd15.config / "tokenizer", local_files_only=True)
    ids = tokenizer("An ASTRONAUT, 東京 🚀").input_ids
    assert ids[-1] == tokenizer.eos_token_id == tokenizer.vocab_size - 1
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert len(tokenizer("a photo of a cat").input_ids) == 7


def test_the_tiny_llama_loads_and_speaks_its_template(tmp_path: Path) -> None:
    folder = make_llama(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert model.config.num_key_value_heads == 2
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}) == 3
    messages = [{"role": "user", "content": "Count to five."}, {"role": "assistant", "content": "One, two."}]
    row = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    answer = [token for token, mine in zip(row["input_ids"], row["assistant_masks"], strict=True) if mine]
    assert tokenizer.decode(answer) == "One, two.<|im_end|>"
    assert model(torch.tensor([row["input_ids"]])).logits.shape == (1, len(row["input_ids"]), len(tokenizer))
    assert tokenizer.decode(tokenizer("naïve ☕").input_ids) == "naïve ☕"
