"""CLIP's vocabulary, built from its merges as OpenAI's tokenizer builds it (openai/CLIP ``simple_tokenizer.py``)."""

import gzip
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MAX_TOKENS = 77
_MERGES = Path(__file__).parent / "configs" / "clip" / "merges.txt.gz"

Merge = tuple[str, str]


@cache
def byte_symbols() -> tuple[str, ...]:
    """One printable character for each byte, printable bytes first: the order of CLIP's first 256 ids."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return tuple([chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))])


def vocabulary(merges: Iterable[Merge]) -> dict[str, int]:
    """Ids by token: bytes, bytes at a word's end, merges, start of text, and end of text with the largest id."""
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + WORD_END for symbol in symbols), *(left + right for left, right in merges), START, END]
    return {token: number for number, token in enumerate(tokens)}


@cache
def openai_merges() -> tuple[Merge, ...]:
    """The 48,894 merges of every released CLIP; see the licence beside the file."""
    with gzip.open(_MERGES, "rt", encoding="utf-8") as lines:
        return tuple((left, right) for left, right in (line.split() for line in lines))


def write_tokenizer(folder: Path, merges: Sequence[Merge], pad_token: str = END) -> None:
    """Write the files that ``CLIPTokenizer.from_pretrained`` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary(merges), ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad_token}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True, **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(specials, indent=2), encoding="utf-8")
