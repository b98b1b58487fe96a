"""Every finding that the checks really make reads as Chinese on a Chinese page; what is not known stays as it was said."""

import io
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorafleet.console.uploads.versions import METADATA
from lorafleet.console.web.findings_view import finding_lines
from lorafleet.console.web.language import CHINESE, ENGLISH, language
from lorafleet.console.web.sentences import _FORMS, translated
from lorafleet.datasets.checks import check_images, check_texts
from lorafleet.datasets.findings import Code, Finding, Severity, abridged
from lorafleet.datasets.images import read_image_set
from lorafleet.datasets.texts import read_text_set

WORDS = language(CHINESE)


def picture(seed: int = 1, size: tuple[int, int] = (600, 600), file_format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, file_format)
    return out.getvalue()


def images(folder: Path, files: Mapping[str, bytes], metadata: str = "", **options: int) -> list[Finding]:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if metadata:
        (folder / METADATA).write_text(metadata, encoding="utf-8")
    found = read_image_set(folder)
    settings = {"resolution": 512, "bucket_step": 64, "lora_rank": 8, "batch_size": 1, **options}
    return list(check_images(found, upscale=True, buckets=True, **settings).findings)  # type: ignore[arg-type]


def texts(folder: Path, name: str, text: str, rank: int = 8) -> list[Finding]:
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    return list(check_texts(read_text_set(folder), lora_rank=rank).findings)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """What the checks say of sets in which everything is wrong once."""
    root = tmp_path_factory.mktemp("sets")
    one, other = picture(1), picture(2)
    pixels = np.random.default_rng(9).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    smooth, nearly = io.BytesIO(), io.BytesIO()
    for side, out in ((800, smooth), (808, nearly)):
        Image.fromarray(pixels).resize((side, side)).save(out, "PNG")
    rows = [
        "file_name,text", "../out.png,x", "none.png,x", "a.png,first", "a.png,second", "only one", "bild.gif,x",
    ]  # fmt: skip
    found = images(
        root / "rows",
        {"a.png": one, "b.png": one, "small.png": picture(3, (64, 64)), "large.png": picture(4, (300, 300)), "bild.gif": b"GIF89a",
         "broken.png": one[:500], "empty.png": b"", "no.png": b"text"},
        "\n".join(rows), lora_rank=64, batch_size=4,
    )  # fmt: skip
    found += images(
        root / "sides",
        {"a.png": smooth.getvalue(), "b.png": nearly.getvalue(), "a.txt": b"", "c.txt": b"x", "b.txt": b""},
        resolution=1024,
    )
    found += images(root / "same", {"a.png": one, "b.png": other, "a.txt": "霓虹灯".encode("gbk"), "b.txt": "霓虹灯".encode("gbk")})
    found += images(
        root / "two", {"a.png": one, "wide.png": picture(5, (900, 500)), "metadata.jsonl": b"{}"}, "x,y\n1,2", batch_size=2
    )
    found += images(root / "none", {})
    found += images(root / "unclosed", {"a.png": one}, 'file_name,text\na.png,"x')
    found += images(root / "void", {"a.png": one}, "file_name,text\n")
    found += texts(root / "texts", "a.jsonl", "\n".join([
        '{"text": "neon"}', '{"text": "neon"}', '{"text": ""}', '{"text": 3}', "[1]", "{", '{"other": 1}', "{}",
        '{"messages": [{"role": "user", "content": "hi"}]}', '{"messages": 3}', '{"messages": [3]}',
        '{"messages": [{"role": "alien", "content": "hi"}]}', '{"messages": [{"role": "user"}]}',
        '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}',
    ]), 64)  # fmt: skip
    found += texts(root / "list", "a.json", '{"text": "x"}')
    found += texts(root / "no-list", "a.json", "[1")
    found += texts(root / "empty", "a.jsonl", "")
    bad_name = Finding(Code.BAD_FILE_NAME, Severity.ERROR, "the file's name is not UTF-8", "x", "rename the file")
    many = [Finding(Code.SAME_TEXT, Severity.WARNING, "x")] * 30
    return [*found, bad_name, abridged(many)[-1]]


def test_there_is_one_of_every_code(findings: list[Finding]) -> None:
    assert set(Code) - {finding.code for finding in findings} == set()


def test_every_finding_and_hint_is_chinese(findings: list[Finding]) -> None:
    report = {"findings": [{**finding.__dict__, "names": list(finding.names)} for finding in findings]}
    for line, finding in zip(finding_lines(WORDS, report), findings, strict=True):
        for text, was in ((line.message, finding.message), (line.hint, finding.hint)):
            if was and not was.startswith('for example {"text"'):
                assert re.search(r"[\u4e00-\u9fff]", text), f"{finding.code}: {was}"
    english = finding_lines(language(ENGLISH), report)
    assert [(line.message, line.hint) for line in english] == [(finding.message, finding.hint) for finding in findings]


def test_what_stands_in_the_places_is_taken_over() -> None:
    assert translated(WORDS, "1 image without a caption: a.png") == "1 张图片没有标注：a.png"
    assert (
        translated(WORDS, "7 images without a caption: a, b, c, d, e and 2 more") == "7 张图片没有标注：a, b, c, d, e 等，另有 2 个"
    )
    assert translated(WORDS, "no captions in it: the file is empty") == "其中没有标注：文件是空的"
    assert "12 个样本" in translated(WORDS, "lora_rank 64 with 12 images tends to learn the examples by heart (overfitting)")


def test_what_is_not_known_stays_as_it_was_said() -> None:
    for text in ("", "a sentence of a later version", "%(names)s", "100% of it\nand more"):
        assert translated(WORDS, text) == text


@cache
def sources() -> str:
    root = Path(__file__).parents[4]
    folders = ("lorafleet/datasets", "lorafleet/console", "trainer")
    files = [file for folder in folders for file in (root / folder).rglob("*.py") if file.name != "sentences.py"]
    return " ".join(re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8")) for file in files)


@pytest.mark.parametrize("form", _FORMS)
def test_a_sentence_is_one_that_somebody_says(form: str) -> None:
    said = sources().replace('\\"', '"')
    for part in re.split(r"%\(\w+\)s", form):
        text = part.strip(" :'")
        # Counted nouns are made of a number and a noun, and some parts of one another.
        words = [word for word in re.split(r"^(?:images|pictures|buckets|caption files) ", text) if word]
        assert all(word in said for word in words), part
