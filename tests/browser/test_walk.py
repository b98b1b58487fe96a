"""The whole walk in a browser, with real workers: upload a zip, mend captions, submit, watch, lose a site, download; in both languages."""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lorafleet.demo.photographs import PHOTOGRAPHS, write_photographs
from lorafleet.demo.two_sites import Fleet, fleet
from tests.browser.chromium import Window, window
from trainer.tiny.stable_diffusion import TinyBase, make_sd15

STEPS_MS = 240_000
QUICK = {
    "epochs": "20", "max_steps": "16", "resolution": "64", "batch_size": "2", "gradient_accumulation": "1", "save_steps": "4",
    "log_every": "1", "sample_every": "8", "sample_steps": "2", "warmup_steps": "0",
}  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What the walk looks for, as a person of this language reads it."""

    train: str
    submit: str
    save: str
    saved: str
    preview: str
    replace: str
    find: str
    by: str
    training: str
    finished: str
    lost: str
    download: str


WORDS = {
    "en": Words("Train with it", "Submit", "Save captions", "Saved as a new version", "Preview", "Replace in all of them",
                "Find in all captions", "Replace by", "Training in", "Finished at step", "Lost", "Download"),
    "zh": Words("用它训练", "提交", "保存标注", "已保存为新版本", "预览", "全部替换", "在所有标注中查找", "替换为", 
                "训练，第", "完成，权重", "失联", "下载"),
}  # fmt: skip


class _GbkName(zipfile.ZipInfo):
    """A name in GBK without the flag that says UTF-8, as Windows in China writes it."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


@pytest.fixture(scope="module")
def base(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    pytest.importorskip("skimage", reason="scikit-image has the photographs; it is in the demo extra")
    return make_sd15(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs as a zip, captions in side files, names in GBK."""
    folder = write_photographs(tmp_path_factory.mktemp("photographs"))
    with (folder / "metadata.csv").open(encoding="utf-8") as table:
        captions = {row["file_name"]: row["text"] for row in csv.DictReader(table)}
    packed = folder / "photographs.zip"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as file:
        for name, caption in captions.items():
            file.writestr(_GbkName(f"照片/{name}"), (folder / name).read_bytes())
            file.writestr(_GbkName(f"照片/{Path(name).stem}.txt"), caption)
        file.writestr(_GbkName("照片/notes.bin"), b"\x00not a picture")
    packed.write_bytes(data.getvalue())
    return packed


@pytest.fixture
def running(base: TinyBase, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, base.checkpoint.parent) as found:
        yield found


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.timeout(600)
def test_from_a_zip_to_weights_though_a_site_dies(
    chromium: Browser, running: Fleet, base: TinyBase, archive: Path, language: str, tmp_path: Path
) -> None:
    words = WORDS[language]
    opened = window(chromium, language)
    try:
        _walk(opened, running, base, archive, words, tmp_path)
    finally:
        opened.page.screenshot(path=tmp_path / "last.png", full_page=True)
        opened.context.close()
    assert [each for each in opened.complaints if "Failed to load resource" not in each] == []


def _walk(opened: Window, running: Fleet, base: TinyBase, archive: Path, words: Words, tmp_path: Path) -> None:
    page = opened.page
    page.goto(running.page)
    page.goto(page.url.rstrip("/") + "/datasets")
    page.locator("#name").fill("photographs 照片")
    page.locator("#new button").click()
    page.locator("#pick-files").set_input_files(archive)
    expect(page.locator(".grid .picture")).to_have_count(len(PHOTOGRAPHS), timeout=60_000)
    expect(page.locator("#upload-refused")).to_contain_text("照片/notes.bin")
    _mend_captions(page, words)
    _submit(page, base, words)
    _watch_and_lose_a_site(page, running, words)
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile(rf"^{words.download}.*\.safetensors")).click()
    started.value.save_as(tmp_path / "lora.safetensors")
    assert (tmp_path / "lora.safetensors").stat().st_size > 10_000


def _mend_captions(page: Page, words: Words) -> None:
    cat = page.locator(".picture", has_text="cat").locator("textarea")
    cat.fill("a tabby cat named 小虎, looking to the side")
    expect(page.locator("#unsaved")).to_contain_text("1")
    page.get_by_role("button", name=words.save).click()
    expect(page.locator(".notice").first).to_contain_text(words.saved)
    expect(page.locator(".picture", has_text="cat").locator("textarea")).to_have_value(
        "a tabby cat named 小虎, looking to the side"
    )
    page.get_by_label(words.find).fill("black and white")
    page.get_by_label(words.by).fill("monochrome")
    page.get_by_role("button", name=words.preview).click()
    expect(page.locator("#preview ins")).to_contain_text("monochrome photograph")
    page.get_by_role("button", name=words.replace).click()
    expect(page.locator(".picture", has_text="camera").locator("textarea")).to_have_value(re.compile("monochrome"))


def _submit(page: Page, base: TinyBase, words: Words) -> None:
    page.get_by_role("link", name=words.train).click()
    page.locator("#name").fill("my photographs")
    page.locator("#f-base_model").fill(base.checkpoint.name)
    page.locator("#f-sample_prompts").fill("a cat")
    for details in page.locator("#job-form > details").all():
        details.evaluate("each => each.open = true")
    for key, value in {**QUICK, "base_config": base.config.name}.items():
        page.locator(f"#f-{key}").fill(value)
    page.locator("#f-gradient_checkpointing").select_option("false")
    page.locator("#gpus").fill("0")
    page.locator("#memory_gib").fill("0")
    expect(page.locator("#summary")).to_contain_text("max_steps: 16", use_inner_text=False)
    page.get_by_role("button", name=words.submit, exact=True).click()
    expect(page.locator("h1")).to_have_text("my photographs")


def _watch_and_lose_a_site(page: Page, running: Fleet, words: Words) -> None:
    job = page.url.rpartition("/")[2]
    expect(page.locator("#status .sentence")).to_contain_text(words.training, timeout=90_000)
    for event in running.client.watch(job):
        if event.kind == "checkpoint":
            break
    first = running.client.attempts(job)[0].site
    expect(page.locator("#attempts li")).to_have_count(1)
    expect(page.locator("#chart canvas")).to_be_visible()
    running.sites[first].kill()
    expect(page.locator("#status .sentence")).to_contain_text(words.finished, timeout=STEPS_MS)
    expect(page.locator("#attempts .badge", has_text=words.lost)).to_be_visible()
    expect(page.locator("#attempts li")).to_have_count(2)
    expect(page.locator("#curves .legend li")).to_have_count(2)
    expect(page.locator("#samples img").first).to_be_visible()
