"""A small CLIP vocabulary, trained on a few sentences in the way the real one was on many."""

from functools import cache

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from trainer.families.clip_vocabulary import Merge, byte_symbols

CORPUS = (
    "a photo of a cat sitting on a red chair",
    "a photograph of a dog running in the grass",
    "an astronaut in a white suit in front of a flag",
    "a cup of coffee on a wooden table",
    "a rocket standing on the launch pad in the morning light",
    "a portrait of a woman smiling at the camera",
    "a painting in the style of an old master, oil on canvas",
    "a close up of a face, soft light, high detail",
    "a landscape with mountains and a lake under a blue sky",
    "the picture shows a street in the city at night",
)
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
_MERGES = 300


@cache
def tiny_merges() -> tuple[Merge, ...]:
    """Up to 300 merges, the same in every process."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    alphabet = list(byte_symbols())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + _MERGES, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tuple(_merges_of(tokenizer))


def _merges_of(tokenizer: Tokenizer) -> list[Merge]:
    import json

    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
