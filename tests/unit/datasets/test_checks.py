import json
import time
from pathlib import Path

import numpy as np
import pytest

from lorafleet.contracts.problems import DataError
from lorafleet.datasets.checks import CheckReport, check_images, check_texts
from lorafleet.datasets.findings import Code, Finding, Severity
from lorafleet.datasets.images import ImageSample, ImageSet
from lorafleet.datasets.texts import Message, TextSample, TextSet


def sample(
    name: str, width: int = 512, height: int = 512, caption: str | None = None, sha256: str = "", dhash: int = 0
) -> ImageSample:
    return ImageSample(Path(name), name, name if caption is None else caption, width, height, sha256 or name, dhash)


def check(*samples: ImageSample, findings: tuple[Finding, ...] = (), resolution: int = 512, **options: object) -> CheckReport:
    values = {"bucket_step": 64, "upscale": True, "lora_rank": 8, "buckets": True, "batch_size": 1, **options}
    return check_images(ImageSet(Path("set"), samples, findings), resolution=resolution, **values)  # type: ignore[arg-type]


def told(report: CheckReport) -> dict[Code, tuple[str, ...]]:
    return {finding.code: finding.names for finding in report.findings}


def test_a_good_set_has_no_findings() -> None:
    report = check(sample("a.png"), sample("b.png", 1024, 768))
    assert report.findings == ()
    assert (report.count, report.histogram) == (2, {"512x512": 1, "576x448": 1})
    report.raise_if_bad(strict=True)


def test_small_images_are_told_once_with_their_sizes() -> None:
    report = check(sample("a.png", 511, 2000), sample("b.png", 300, 300), sample("c.png"))
    (finding,) = (finding for finding in report.findings if finding.code is Code.SMALL_IMAGE)
    assert finding.message == "2 images smaller than 512 px: a.png (511x2000), b.png (300x300)"
    assert finding.names == ("a.png", "b.png")


def test_the_limit_is_the_training_resolution_where_that_is_lower() -> None:
    assert told(check(sample("a.png", 64, 64), sample("b.png", 63, 64), resolution=64)) == {Code.SMALL_IMAGE: ("b.png",)}


def test_images_that_sdxl_must_enlarge_are_noted() -> None:
    images = (sample("a.png", 800, 800), sample("b.png", 1024, 1024))
    assert told(check(*images, resolution=1024)) == {Code.ENLARGED_IMAGE: ("a.png",)}
    assert told(check(*images, resolution=1024, upscale=False)) == {}


def test_copies_and_near_copies_are_grouped() -> None:
    near = 0xF0F0_F0F0_F0F0_F0F0
    report = check(
        sample("a.png", sha256="1", dhash=near),
        sample("b.png", sha256="1", dhash=near),
        sample("c.png", sha256="2", dhash=near ^ 1),
        sample("d.png", sha256="3", dhash=0x0F0F),
    )
    assert told(report) == {Code.SAME_IMAGE: ("a.png", "b.png"), Code.SIMILAR_IMAGES: ("a.png", "c.png")}


def test_captions_that_are_all_the_same() -> None:
    assert Code.SAME_CAPTION in told(check(sample("a.png", caption="x"), sample("b.png", caption="x")))
    assert told(check(sample("a.png", caption="x"), sample("b.png", caption="y"))) == {}
    assert told(check(sample("a.png", caption="x"))) == {}


@pytest.mark.parametrize(("rank", "images", "warned"), [(31, 1, False), (32, 1, True), (32, 49, True), (32, 50, False)])
def test_high_rank_with_little_data(rank: int, images: int, warned: bool) -> None:
    report = check(*(sample(f"{number}.png") for number in range(images)), lora_rank=rank)
    assert (Code.HIGH_RANK in told(report)) is warned
    if warned:
        assert report.findings[0].hint == "use lora_rank 4 to 8"


def test_partial_buckets_are_noted() -> None:
    images = [sample(f"{number}.png") for number in range(4)] + [sample("wide.png", 1024, 640)]
    (finding,) = check(*images, batch_size=4).findings
    assert (finding.code, finding.severity) == (Code.PARTIAL_BUCKET, Severity.NOTE)
    assert "640x384" in finding.message


def test_without_buckets_all_are_squares() -> None:
    assert check(sample("a.png", 2000, 1000), sample("b.png"), buckets=False).histogram == {"512x512": 2}


def test_no_images_is_an_error() -> None:
    with pytest.raises(DataError, match="set: D101 there are no images here"):
        check().raise_if_bad(strict=False)


def test_errors_come_first_and_strict_adds_warnings() -> None:
    warning = Finding(Code.NO_CAPTION, Severity.WARNING, "w", "here")
    error = Finding(Code.UNREADABLE_IMAGE, Severity.ERROR, "e", "there", "mend it")
    note = Finding(Code.NOT_UTF8, Severity.NOTE, "n")
    report = check(sample("a.png"), findings=(note, warning, error))
    assert report.findings == (error, warning, note)
    with pytest.raises(DataError) as raised:
        report.raise_if_bad(strict=False)
    assert [str(problem) for problem in raised.value.problems] == ["there: D102 e (mend it)"]
    with pytest.raises(DataError) as raised:
        report.raise_if_bad(strict=True)
    assert len(raised.value.problems) == 2
    check(sample("a.png"), findings=(note,)).raise_if_bad(strict=True)


def test_thousands_of_errors_are_abridged() -> None:
    errors = tuple(Finding(Code.BAD_ROW, Severity.ERROR, "bad", f"f:{line}") for line in range(1000))
    other = Finding(Code.UNREADABLE_IMAGE, Severity.ERROR, "e")
    with pytest.raises(DataError) as raised:
        check(sample("a.png"), findings=(*errors, other)).raise_if_bad(strict=False)
    assert len(raised.value.problems) == 22
    assert raised.value.problems[-1].what == "D002 and 980 more of this kind"


def test_the_report_as_json() -> None:
    values = json.loads(check(sample("猫.png", 300, 300)).as_json())
    assert values["count"] == 1
    assert values["findings"][0]["code"] == "D105"
    assert values["findings"][0]["severity"] == "warning"
    assert values["findings"][0]["names"] == ["猫.png"]


def test_thousands_of_images_are_checked_in_a_moment() -> None:
    hashes = np.random.default_rng(0).integers(1, 2**63, 4000, dtype=np.uint64).tolist()
    images = tuple(sample(f"{number}.png", 100, 100, dhash=value) for number, value in enumerate(hashes))
    start = time.perf_counter()
    report = check(*images)
    assert time.perf_counter() - start < 5
    assert len(told(report)[Code.SMALL_IMAGE]) == 4000


def test_texts(tmp_path: Path) -> None:
    asked = TextSample("messages", "a.jsonl:3", messages=(Message("user", "hi"),))
    answered = TextSample("messages", "a.jsonl:4", messages=(Message("user", "hi"), Message("assistant", "ho")))
    samples = (TextSample("text", "a.jsonl:1", text="x"), TextSample("text", "a.jsonl:2", text="x"), asked, answered)
    report = check_texts(TextSet(tmp_path, samples, ()), lora_rank=32)
    assert told(report) == {Code.NO_ASSISTANT_TURN: ("a.jsonl:3",), Code.SAME_TEXT: ("a.jsonl:1", "a.jsonl:2"), Code.HIGH_RANK: ()}
    assert (report.histogram, report.count) == ({"messages": 2, "text": 2}, 4)
    with pytest.raises(DataError, match=r"a\.jsonl:3: D304 no assistant turn"):
        report.raise_if_bad(strict=False)


def test_no_texts_is_an_error(tmp_path: Path) -> None:
    assert told(check_texts(TextSet(tmp_path, (), ()), lora_rank=8)) == {Code.NO_TEXTS: ()}
