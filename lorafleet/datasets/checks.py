"""What can be known about a data set before hours are spent on it."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from lorafleet.datasets.buckets import bucket_table, choose_bucket, crop_plan
from lorafleet.datasets.findings import Code, Finding, Severity, counted, listed, raise_fatal
from lorafleet.datasets.images import ImageSample, ImageSet
from lorafleet.datasets.similarity import similar_groups
from lorafleet.datasets.texts import TextSample, TextSet

BLURRED_BELOW = 512
HIGH_RANK = 32
FEW_IMAGES = 50
FEW_TEXTS = 100

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


@dataclass(frozen=True)
class CheckReport:
    """The findings, errors first; how many examples can be trained on; and how many of each bucket, or kind of text."""

    findings: tuple[Finding, ...]
    histogram: Mapping[str, int]
    count: int

    def raise_if_bad(self, strict: bool) -> None:
        """Raise on errors, and with ``strict`` on warnings.

        Raises:
            DataError: with a problem for each.
        """
        raise_fatal(self.findings, strict)

    def as_json(self) -> str:
        """The report as one JSON object, in ASCII."""
        return json.dumps(asdict(self), indent=2)


def check_images(
    image_set: ImageSet,
    *,
    resolution: int,
    bucket_step: int,
    upscale: bool,
    lora_rank: int,
    buckets: bool,
    batch_size: int = 1,
) -> CheckReport:
    """Check an image set against how it will be trained; the arguments are the training configuration's keys.

    Raises:
        ConfigError: ``resolution`` and ``bucket_step`` do not fit together.
    """
    folder, samples = str(image_set.folder), image_set.samples
    table = bucket_table(resolution, bucket_step) if buckets else bucket_table(resolution, bucket_step, max_aspect=1.0)
    chosen = [choose_bucket(sample.width, sample.height, table, upscale, bucket_step) for sample in samples]
    enlarged = [
        sample
        for sample, bucket in zip(samples, chosen, strict=True)
        if crop_plan(sample.width, sample.height, bucket).resize_width > sample.width
    ]
    findings = list(image_set.findings)
    if not samples:
        message = "no image can be read here" if findings else "there are no images here"
        findings.append(Finding(Code.NO_IMAGES, Severity.ERROR, message, folder, "PNG, JPEG, WebP and BMP files are read"))
    findings += _sizes(folder, samples, enlarged, resolution)
    findings += _duplicate_images(folder, samples)
    findings += _same_captions(folder, samples)
    findings += _rank(folder, lora_rank, len(samples), FEW_IMAGES, "image")
    histogram = {f"{bucket.width}x{bucket.height}": count for bucket, count in sorted(Counter(chosen).items())}
    partial = [name for name, count in histogram.items() if count < batch_size]
    if partial and len(histogram) > 1:
        message = f"{counted(len(partial), 'bucket')} with fewer images than a batch of {batch_size}: {listed(partial)}"
        findings.append(Finding(Code.PARTIAL_BUCKET, Severity.NOTE, message, folder, "their batches are smaller"))
    return _report(findings, histogram, len(samples))


def check_texts(text_set: TextSet, *, lora_rank: int) -> CheckReport:
    """Check a text set; ``lora_rank`` is the training configuration's."""
    path, samples = str(text_set.path), text_set.samples
    findings = list(text_set.findings)
    if not samples:
        message = "no example can be read here" if findings else "there are no examples here"
        findings.append(Finding(Code.NO_TEXTS, Severity.ERROR, message, path, "JSONL, JSON, CSV and plain text files are read"))
    message = "no assistant turn to learn from"
    findings += [
        Finding(Code.NO_ASSISTANT_TURN, Severity.ERROR, message, text_set.where(sample), "add the answer", (sample.name,))
        for sample in samples
        if sample.kind == "messages" and not any(turn.role == "assistant" for turn in sample.messages)
    ]
    for names in _repeated((_content(sample), sample.name) for sample in samples):
        message = f"the same example {len(names)} times: {listed(names)}"
        findings.append(Finding(Code.SAME_TEXT, Severity.WARNING, message, path, "keep one", names))
    findings += _rank(path, lora_rank, len(samples), FEW_TEXTS, "example")
    return _report(findings, dict(sorted(Counter(sample.kind for sample in samples).items())), len(samples))


def _report(findings: Iterable[Finding], histogram: Mapping[str, int], count: int) -> CheckReport:
    return CheckReport(tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity))), histogram, count)


def _sizes(folder: str, samples: Sequence[ImageSample], enlarged: Sequence[ImageSample], resolution: int) -> list[Finding]:
    # Below the training resolution a small image loses nothing, so that the limit is the lower of the two.
    limit = min(BLURRED_BELOW, resolution)
    findings = []
    small = [sample for sample in samples if min(sample.width, sample.height) < limit]
    if small:
        message = f"{counted(len(small), 'image')} smaller than {limit} px: {listed(map(_sized, small))}"
        hint = "small images give blurred results; use larger ones"
        findings.append(Finding(Code.SMALL_IMAGE, Severity.WARNING, message, folder, hint, _names(small)))
    others = [sample for sample in enlarged if min(sample.width, sample.height) >= limit]
    if others:
        message = f"{counted(len(others), 'image')} enlarged to resolution {resolution}: {listed(map(_sized, others))}"
        hint = "larger images give sharper results, or set bucket_upscale: false"
        findings.append(Finding(Code.ENLARGED_IMAGE, Severity.NOTE, message, folder, hint, _names(others)))
    return findings


def _duplicate_images(folder: str, samples: Sequence[ImageSample]) -> list[Finding]:
    hint = "keep one; repeated images are learnt too strongly"
    findings = []
    for names in _repeated((sample.sha256, sample.name) for sample in samples):
        findings.append(Finding(Code.SAME_IMAGE, Severity.WARNING, f"the same image: {listed(names)}", folder, hint, names))
    distinct = list({sample.sha256: sample for sample in reversed(samples)}.values())[::-1]
    for group in similar_groups([sample.dhash for sample in distinct]):
        names = _names([distinct[position] for position in group])
        findings.append(
            Finding(Code.SIMILAR_IMAGES, Severity.WARNING, f"nearly the same image: {listed(names)}", folder, hint, names)
        )
    return findings


def _same_captions(folder: str, samples: Sequence[ImageSample]) -> list[Finding]:
    captions = {sample.caption for sample in samples}
    if len(samples) < 2 or len(captions) != 1 or captions == {""}:
        return []
    message = f"all {len(samples)} captions are the same: '{captions.pop()}'"
    return [Finding(Code.SAME_CAPTION, Severity.WARNING, message, folder, "say what each image shows")]


def _rank(where: str, rank: int, count: int, few: int, noun: str) -> list[Finding]:
    if rank < HIGH_RANK or not 0 < count < few:
        return []
    message = f"lora_rank {rank} with {counted(count, noun)} tends to learn the examples by heart (overfitting)"
    return [Finding(Code.HIGH_RANK, Severity.WARNING, message, where, "use lora_rank 4 to 8")]


def _repeated(pairs: Iterable[tuple[Hashable, str]]) -> list[tuple[str, ...]]:
    """The names of each group that shares a content."""
    groups: dict[Hashable, list[str]] = {}
    for content, name in pairs:
        groups.setdefault(content, []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _content(sample: TextSample) -> Hashable:
    return sample.text, sample.prompt, sample.completion, sample.messages


def _names(samples: Iterable[ImageSample]) -> tuple[str, ...]:
    return tuple(sample.name for sample in samples)


def _sized(sample: ImageSample) -> str:
    return f"{sample.name} ({sample.width}x{sample.height})"
