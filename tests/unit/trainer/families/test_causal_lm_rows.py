from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from lorafleet.datasets.texts import TextSample
from trainer.families.base import RowRef
from trainer.families.encodings import EncodingCache
from trainer.families.packing import pack
from trainer.families.text_encoding import TextEncoder
from trainer.families.text_rows import TextRows
from trainer.families.token_loss import IGNORED
from trainer.families.token_table import TokenTable, content_key, token_table
from trainer.tiny.causal_lm import make_llama

LENGTHS = [5, 3, 70, 2]


class Control:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def check(self) -> None: ...

    def progress(self, what: str, done: int, total: int) -> None:
        self.seen.append((what, done, total))

    def warn(self, text: str) -> None: ...


def table(lengths: Sequence[int] = LENGTHS) -> TokenTable:
    """Example i holds the tokens 100 i, 100 i + 1, …; all but its first are learned."""
    tokens = [100 * number + position for number, length in enumerate(lengths) for position in range(length)]
    targets = [position > 0 for length in lengths for position in range(length)]
    return TokenTable(
        torch.tensor(tokens, dtype=torch.int32),
        torch.tensor(targets),
        torch.tensor(lengths).cumsum(0),
        torch.arange(len(lengths)),
        0,
    )


def refs(*indices: int) -> list[RowRef]:
    return [RowRef(index, 0) for index in indices]


def test_lengths_and_weights_are_each_examples_own() -> None:
    assert table().lengths == LENGTHS
    assert table().weights == [4, 2, 69, 1]


def test_single_rows_are_padded_at_the_end_and_need_no_mask_and_no_positions() -> None:
    rows = TextRows(table(), ["a", "b", "c", "d"], padding=9)
    batch = rows.collate(refs(1, 0))
    assert set(batch.tensors) == {"input_ids", "labels"}
    assert batch.tensors["input_ids"].tolist() == [[100, 101, 102, 9, 9], [0, 1, 2, 3, 4]]
    assert batch.tensors["labels"].tolist() == [[IGNORED, 101, 102, IGNORED, IGNORED], [IGNORED, 1, 2, 3, 4]]
    assert batch.weights == (2, 4)
    assert batch.names == ("b", "a")


def test_packed_rows_count_positions_for_each_example() -> None:
    rows = TextRows(table([3, 2, 4]), ["a", "b", "c"], [(0, 1), (2,)])
    batch = rows.collate(refs(0, 1))
    assert batch.tensors["input_ids"].tolist() == [[0, 1, 2, 100, 101], [200, 201, 202, 203, 0]]
    assert batch.tensors["labels"].tolist() == [[IGNORED, 1, 2, IGNORED, 101], [IGNORED, 201, 202, 203, IGNORED]]
    # The padding of the second row goes on with its example, which no token of it can see.
    assert batch.tensors["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 4]]
    assert batch.weights == (3, 3)
    assert batch.names == ("a, b", "c")


def test_the_weight_known_beforehand_is_the_number_of_labels() -> None:
    for packs in (None, pack(LENGTHS, 80)):
        rows = TextRows(table(), list("abcd"), packs)
        assert sum(rows.lengths) == sum(LENGTHS)
        for index in range(len(rows)):
            batch = rows.collate(refs(index))
            assert rows.weight(index) == batch.weights[0] == int((batch.tensors["labels"] != IGNORED).sum())


def test_only_rows_of_like_length_share_a_batch() -> None:
    rows = TextRows(table([1, 64, 65, 128]), list("abcd"))
    assert [rows.shape_key(index) for index in range(4)] == [64, 64, 128, 128]
    packed = TextRows(table([1, 64, 65, 128]), list("abcd"), [(0, 1), (2,), (3,)])
    assert len({packed.shape_key(index) for index in range(3)}) == 1


def test_row_lengths_are_rounded_up_where_each_length_is_compiled() -> None:
    assert TextRows(table(), list("abcd"), multiple_of=64).collate(refs(0, 2)).tensors["input_ids"].shape == (2, 128)


def test_half_a_batch_holds_half_of_the_rows() -> None:
    batch = TextRows(table(), list("abcd")).collate(refs(0, 1, 3))
    first, second = batch.halves()
    assert torch.equal(torch.cat([first.tensors["labels"], second.tensors["labels"]]), batch.tensors["labels"])
    assert first.weights + second.weights == batch.weights


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    tokenizer = AutoTokenizer.from_pretrained(make_llama(tmp_path_factory.mktemp("base")))
    return TextEncoder(tokenizer, 12, True, None, frozenset())


SAMPLES = [
    TextSample("completion", "a:1", prompt="a", completion=" cat"),
    TextSample("completion", "a:2", prompt="a photo of a cat and a dog and more", completion=" too late"),
    TextSample("text", "a:3", text="a dog"),
]


def test_texts_without_a_token_to_learn_are_left_out_and_cuts_are_counted(encoder: TextEncoder, tmp_path: Path) -> None:
    found = token_table(SAMPLES, encoder, EncodingCache(tmp_path), Control())
    assert found.sources.tolist() == [0, 2]
    assert found.cut == 1


def test_a_second_run_takes_the_tokens_from_the_disk(encoder: TextEncoder, tmp_path: Path) -> None:
    control = Control()
    first = token_table(SAMPLES, encoder, EncodingCache(tmp_path), control)
    assert control.seen == [("tokenizing", 3, 3)]
    again = Control()
    second = token_table(SAMPLES, encoder, EncodingCache(tmp_path), again)
    assert again.seen == []
    assert first.cut == second.cut
    for name in ("tokens", "targets", "ends", "sources"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_a_damaged_cache_is_written_anew(encoder: TextEncoder, tmp_path: Path) -> None:
    first = token_table(SAMPLES, encoder, EncodingCache(tmp_path), Control())
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    control = Control()
    second = token_table(SAMPLES, encoder, EncodingCache(tmp_path), control)
    assert control.seen
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(load_file(file)["tokens"], first.tokens)


def test_the_key_of_a_text_is_what_it_says_and_not_where_it_stands() -> None:
    sample = SAMPLES[0]
    elsewhere = TextSample("completion", "b:7", prompt="a", completion=" cat")
    other = TextSample("completion", "a:1", prompt="a ", completion="cat")
    assert content_key(sample) == content_key(elsewhere) != content_key(other)
