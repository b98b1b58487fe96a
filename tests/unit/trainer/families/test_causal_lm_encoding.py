"""What is learned of a text, a completion and a conversation, against transformers' and TRL's own answers."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lorafleet.contracts.problems import ConfigError, DataError
from lorafleet.datasets.texts import Message, TextSample
from trainer.families.text_encoding import EncodedText, TextEncoder
from trainer.tiny.causal_lm import make_llama

# ChatML without marks, as most models have it.
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CHAT = TextSample(
    "messages",
    "chat.jsonl:1",
    messages=(
        Message("system", "You are brief."),
        Message("user", "What is the capital of France?"),
        Message("assistant", "  Paris \N{PARTY POPPER}"),
        Message("user", "And of Spain?"),
        Message("assistant", "Madrid."),
    ),
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(make_llama(tmp_path_factory.mktemp("base")))


@pytest.fixture
def encoder(tokenizer: Any) -> TextEncoder:
    stops = frozenset({tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")})
    return TextEncoder(tokenizer, 200, True, tokenizer.chat_template, stops)


def one(encoder: TextEncoder, sample: TextSample) -> EncodedText:
    return encoder.encode([sample])[0]


def learned(encoder: TextEncoder, sample: TextSample) -> str:
    encoded = one(encoder, sample)
    ids = [token for token, target in zip(encoded.ids, encoded.targets, strict=True) if target]
    return str(encoder.tokenizer.decode(ids))


def test_all_of_a_plain_text_is_learned_but_its_first_token(encoder: TextEncoder) -> None:
    encoded = one(encoder, TextSample("text", "a:1", text="a photo of a cat"))
    assert encoder.tokenizer.decode(encoded.ids) == "a photo of a cat</s>"
    assert list(encoded.targets) == [False] + [True] * (len(encoded.ids) - 1)


def test_only_the_completion_is_learned(encoder: TextEncoder) -> None:
    sample = TextSample("completion", "a:1", prompt="Count to five.", completion=" One, two")
    assert learned(encoder, sample) == " One, two</s>"
    everything = learned(replace(encoder, completion_only=False), sample)
    assert "Count to five. One, two</s>".endswith(everything)
    assert len(everything) > len(" One, two</s>")


@pytest.mark.parametrize("text", ["ends", "ends</s>", "ends</s></s>"])
def test_the_end_token_stands_exactly_once_at_the_end(encoder: TextEncoder, text: str) -> None:
    end = encoder.tokenizer.eos_token_id
    for sample in (TextSample("text", "a:1", text=text), TextSample("completion", "a:1", prompt="a", completion=text)):
        encoded = one(encoder, sample)
        assert list(encoded.ids).count(end) == 1
        assert encoded.ids[-1] == end
        assert encoded.targets[-1]


def test_assistant_turns_alone_are_learned_with_the_token_that_ends_them(encoder: TextEncoder) -> None:
    assert learned(encoder, CHAT) == "  Paris \N{PARTY POPPER}<|im_end|>Madrid.<|im_end|>"


def test_marked_turns_are_those_of_transformers(encoder: TextEncoder) -> None:
    turns = [{"role": turn.role, "content": turn.content} for turn in CHAT.messages]
    theirs = encoder.tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    encoded = one(encoder, CHAT)
    assert list(encoded.ids) == theirs["input_ids"]
    assert [int(target) for target in encoded.targets] == theirs["assistant_masks"]


def test_unmarked_turns_are_found_by_rendering_prefixes(encoder: TextEncoder) -> None:
    plain = replace(encoder, chat_template=PLAIN)
    assert learned(plain, CHAT) == "  Paris \N{PARTY POPPER}<|im_end|>\nMadrid.<|im_end|>\n"
    assert list(one(plain, CHAT).ids) == list(one(encoder, CHAT).ids)


def test_an_end_token_follows_where_the_template_writes_none_that_stops_the_model(encoder: TextEncoder) -> None:
    tokenizer = encoder.tokenizer
    unstopped = replace(encoder, stop_ids=frozenset({tokenizer.eos_token_id}))
    assert learned(unstopped, CHAT).endswith("Madrid.<|im_end|>\n</s>")
    asked_last = replace(CHAT, messages=CHAT.messages[:4])
    assert tokenizer.eos_token_id not in one(unstopped, asked_last).ids


def test_completion_only_false_learns_the_whole_conversation(encoder: TextEncoder) -> None:
    encoded = one(replace(encoder, completion_only=False), CHAT)
    assert list(encoded.targets) == [False] + [True] * (len(encoded.ids) - 1)


def test_completions_are_masked_as_trl_masks_them(encoder: TextEncoder) -> None:
    pytest.importorskip("trl")
    from trl.trainer.sft_trainer import common_prefix_length

    tokenizer = encoder.tokenizer
    for prompt, completion in (
        ("Count to", " five."),
        ("Q: a style?\nA:", " of a cat\n\n  yes"),
        ("a photo of", " wat\N{SNOWMAN}er"),
    ):
        together = tokenizer(prompt + completion + tokenizer.eos_token)["input_ids"]
        border = common_prefix_length(tokenizer(prompt)["input_ids"], together)
        encoded = one(encoder, TextSample("completion", "a:1", prompt=prompt, completion=completion))
        assert list(encoded.ids) == together
        assert list(encoded.targets) == [position >= border for position in range(len(together))]


WORDS = st.text(alphabet="abcdefor .\n?", max_size=30)


@given(prompt=WORDS, completion=WORDS.filter(bool))
@settings(max_examples=60, deadline=None)
def test_what_is_learned_begins_in_the_token_where_the_completion_begins(prompt: str, completion: str) -> None:
    encoder = encoder_of_no_model()
    encoded = one(encoder, TextSample("completion", "a:1", prompt=prompt, completion=completion))
    first = list(encoded.targets).index(True)
    assert all(encoded.targets[first:])
    assert encoder.tokenizer.decode(encoded.ids) == prompt + completion + "</s>"
    if first > 1:
        assert prompt.startswith(encoder.tokenizer.decode(encoded.ids[:first]))
        assert encoder.tokenizer.decode(encoded.ids[first:]).endswith(completion + "</s>")


@cache
def encoder_of_no_model() -> TextEncoder:
    with TemporaryDirectory() as folder:
        tokenizer = AutoTokenizer.from_pretrained(make_llama(Path(folder)))
    return TextEncoder(tokenizer, 200, True, None, frozenset({tokenizer.eos_token_id}))


def test_tokens_of_white_space_are_learned_whatever_their_offsets(encoder: TextEncoder) -> None:
    # Llama 3's tokenizer trims the offsets of leading white space, which leaves tokens of white space alone without width.
    from tokenizers import processors

    trimmed = encoder.tokenizer.__class__(tokenizer_object=encoder.tokenizer.backend_tokenizer, eos_token="</s>", bos_token="<s>")
    before = trimmed.backend_tokenizer.post_processor
    trimmed.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    try:
        sample = TextSample("completion", "a:1", prompt="if a:", completion="\n        of")
        assert learned(replace(encoder, tokenizer=trimmed), sample) == "\n        of</s>"
    finally:
        if before is not None:
            trimmed.backend_tokenizer.post_processor = before


def test_a_tokenizer_that_begins_rows_with_a_token_keeps_doing_so(encoder: TextEncoder) -> None:
    from tokenizers import Tokenizer, processors

    backend = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    beginning = encoder.tokenizer.__class__(tokenizer_object=backend, eos_token="</s>", bos_token="<s>")
    assert beginning("a")["input_ids"][0] == beginning.bos_token_id
    with_begin = replace(encoder, tokenizer=beginning)
    encoded = one(with_begin, TextSample("completion", "a:1", prompt="a cat", completion=" sat"))
    assert beginning.decode(encoded.ids) == "<s>a cat sat</s>"
    assert with_begin.prompt("a cat", as_chat=False) == beginning("a cat")["input_ids"]
    # Whole texts then learn their first real token too.
    assert all(one(with_begin, TextSample("text", "a:1", text="a cat")).targets[1:])


def test_long_texts_are_cut_and_counted(encoder: TextEncoder) -> None:
    short = replace(encoder, max_length=4)
    encoded = one(short, TextSample("text", "a:1", text="a photo of a cat and a dog"))
    assert encoded.cut
    assert len(encoded.ids) == len(encoded.targets) == 4
    assert encoder.tokenizer.eos_token_id not in encoded.ids
    assert not one(encoder, TextSample("text", "a:1", text="a cat")).cut


def test_a_completion_behind_the_cut_leaves_nothing_to_learn(encoder: TextEncoder) -> None:
    encoded = one(
        replace(encoder, max_length=4), TextSample("completion", "a:1", prompt="a photo of a cat and a dog", completion="x")
    )
    assert not any(encoded.targets)


def test_a_missing_template_is_one_clear_line(encoder: TextEncoder) -> None:
    with pytest.raises(ConfigError, match=r"no chat template \(name a Jinja file by chat_template") as caught:
        one(replace(encoder, chat_template=None), CHAT)
    assert len(caught.value.problems) == 1


def test_a_template_that_rewrites_earlier_turns_is_refused(encoder: TextEncoder) -> None:
    # As Qwen 3 does with thoughts: only the last answer has them.
    rewriting = PLAIN.replace(
        "m['content']", "('<think></think>' if loop.last and m['role'] == 'assistant' else '') + m['content']"
    )
    with pytest.raises(ConfigError, match=r"turn 3 of chat\.jsonl:1 differently when more turns follow"):
        one(replace(encoder, chat_template=rewriting), CHAT)
    single = replace(CHAT, messages=CHAT.messages[:3])
    assert "Paris" in learned(replace(encoder, chat_template=rewriting), single)


@pytest.mark.parametrize(
    ("template", "error", "words"),
    [
        ("{{ raise_exception('no system turn') }}", DataError, "chat.jsonl:1: the chat template refuses .* no system turn"),
        ("{% for %}", ConfigError, "the chat template is wrong in line 1"),
    ],
)
def test_a_template_that_fails_is_told_in_words(encoder: TextEncoder, template: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        one(replace(encoder, chat_template=template), CHAT)


@pytest.mark.parametrize(
    "change",
    [
        lambda encoder: replace(encoder, max_length=100),
        lambda encoder: replace(encoder, completion_only=False),
        lambda encoder: replace(encoder, chat_template=PLAIN),
        lambda encoder: replace(encoder, stop_ids=frozenset()),
    ],
)
def test_each_setting_changes_the_digest(encoder: TextEncoder, change: Callable[[TextEncoder], TextEncoder]) -> None:
    assert change(encoder).digest != encoder.digest
    assert replace(encoder).digest == encoder.digest
