from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from trainer.families.clip_vocabulary import END, START, openai_merges, vocabulary, write_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_tokenizer(folder, openai_merges())
    return folder


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a photo of a cat", [49406, 320, 1125, 539, 320, 2368, 49407]),
        ("Hello World!", [49406, 3306, 1002, 256, 49407]),
        ("", [49406, 49407]),
    ],
)
def test_the_ids_are_those_of_openai(folder: Path, text: str, ids: list[int]) -> None:
    assert CLIPTokenizer.from_pretrained(folder, local_files_only=True)(text).input_ids == ids


def test_the_vocabulary_has_the_known_size_and_ends_with_the_end_of_text() -> None:
    ids = vocabulary(openai_merges())
    assert len(ids) == 49408
    assert (ids[START], ids[END], ids["!"], ids["!</w>"]) == (49406, 49407, 0, 256)


def test_long_text_is_cut_to_77_tokens_and_padding_is_the_end_of_text(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    assert len(tokenizer("cat " * 200, truncation=True).input_ids) == 77
    assert tokenizer("cat", padding="max_length").input_ids[2:] == [49407] * 75


def test_the_licence_lies_beside_the_merges() -> None:
    import trainer.families

    folder = Path(trainer.families.__file__).parent / "configs" / "clip"
    assert "Copyright (c) 2021 OpenAI" in (folder / "LICENSE").read_text()
