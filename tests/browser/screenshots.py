"""Takes the pictures of docs/images/console-*.png: ``python -m tests.browser.screenshots``.

Real pages of a real console in a real browser. Two workers are played over the same protocol that real ones speak, so that the pictures
show photographs and not the noise of a tiny model: a job trains in one cloud, that site dies, and another goes on.
"""

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageEnhance, ImageFilter

from lorafleet.contracts import layout, paths
from lorafleet.demo.photographs import write_photographs
from tests.browser.chromium import Window, installed, launched, window
from tests.unit.console.api.running_console import HttpWorker

IMAGES = Path(os.environ.get("IMAGES", Path(__file__).parents[2] / "docs" / "images"))
SITES = ("aws-eu-central-1", "gcp-us-west1")
WIDTH, HEIGHT = 1280, 900
STEPS, LOST_AT, SAVED_AT = 400, 236, 200
PROMPTS = {"a cat in neon light": "cat", "a cup of coffee, close up": "coffee", "a rocket at night": "rocket"}


@dataclass(frozen=True)
class Served:
    """A console in another process."""

    url: str
    directory: Path
    page: str
    token: str
    release: str


def main() -> None:
    """Take them all."""
    path = installed()
    if path is None:
        sys.exit("no Chromium here; install the package 'chromium'")
    with tempfile.TemporaryDirectory() as folder:
        process, served = _serve(Path(folder))
        try:
            jobs = _play(served, write_photographs(Path(folder) / "photographs"))
            with launched(path) as browser:
                for language, theme in (("en", "light"), ("zh", "dark")):
                    _take(window(browser, language, theme, scale=1.5), served, jobs, language)
                _take_phone(window(browser, "en", "dark", width=390, height=844, scale=2), served, jobs)
        finally:
            process.terminate()
            process.wait()


def _serve(folder: Path) -> tuple["subprocess.Popen[bytes]", Served]:
    ready = folder / "ready.json"
    words = [
        sys.executable,
        "-m",
        "lorafleet",
        "serve",
        "--dir",
        str(folder / "console"),
        "--port",
        "0",
        "--ready-file",
        str(ready),
    ]
    words += [word for site in SITES for word in ("--site", site)] + ["--lease-seconds", "600"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not ready.exists():
        if process.poll() is not None:
            sys.exit("the console did not start")
        time.sleep(0.1)
    facts = json.loads(ready.read_text())
    token = Path(facts["token_file"]).read_text().strip()
    return process, Served(facts["url"], folder / "console", facts["page"], token, facts["release"])


def _play(served: Served, photographs: Path) -> dict[str, str]:
    client = httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {served.token}"}, timeout=60)
    dataset = client.post(f"{paths.API}/datasets", json={"name": "cyberpunk city"}).json()["id"]
    files = [("files", (path.name, path.read_bytes())) for path in sorted(photographs.iterdir())]
    client.post(f"{paths.API}/datasets/{dataset}/uploads", files=files).raise_for_status()
    training = {
        "base_model": "Stable-diffusion/v1-5-pruned.safetensors", "family": "sd15", "epochs": 160, "sample_prompts": list(PROMPTS),
        "sample_every": 100, "save_steps": 100,
    }  # fmt: skip

    def submit(name: str, **more: Any) -> str:
        body = {"name": name, "dataset": dataset, "training": training, **more}
        answer = client.post(f"{paths.API}/jobs", json=body)
        answer.raise_for_status()
        return str(answer.json()["id"])

    jobs = {"dataset": dataset, "finished": submit("neon rain")}
    first = HttpWorker(served, site=SITES[0], name="trainer-7f9c", release=served.release).leased()
    _train(first, photographs, 0, LOST_AT)
    first.say(paths.OUTCOME, outcome="infrastructure", exit_code=74, step=LOST_AT, problems=[{"what": "the node was lost"}])
    second = HttpWorker(served, site=SITES[1], name="trainer-b21d", release=served.release).leased()
    _train(second, photographs, SAVED_AT, STEPS)
    output = second.write(
        layout.output_object(second.job, second.fence, "neon-rain.safetensors"), random.Random(1).randbytes(3_400_000)
    )
    second.say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=STEPS, outputs=[output]).raise_for_status()

    jobs["failed"] = submit("neon rain, batch 16", training={**training, "batch_size": 16})
    third = HttpWorker(served, site=SITES[0], name="trainer-7f9c", release=served.release).leased()
    third.heartbeat()
    memory = {"what": "the smallest step does not fit the GPU's 15.8 GiB", "where": "step 0", "hint": "use a smaller batch_size"}
    third.say(paths.OUTCOME, outcome="user", exit_code=71, step=0, problems=[memory]).raise_for_status()

    jobs["running"] = submit("portrait of a cat")
    fourth = HttpWorker(served, site=SITES[1], name="trainer-b21d", release=served.release).leased()
    _train(fourth, photographs, 0, 148)
    jobs["waiting"] = submit("large and patient", gpus=4, min_memory_mib=73_728)
    release = {
        "application": "lorafleet",
        "image": "registry.example.com/lorafleet/trainer",
        "digest": f"sha256:{'3e9' * 21}4",
        "sites": [{"site": site, "strategy": "canary", "target_size": 2, "first_share": "10%"} for site in SITES],
        "conditions": ["errorRate > 5%", "latency > 2s"],
    }
    client.post(paths.RELEASES, json=release).raise_for_status()
    return jobs


def _train(worker: HttpWorker, photographs: Path, start: int, end: int) -> None:
    worker.heartbeat(0, start)
    rough = random.Random(worker.fence + len(worker.job))
    for step in range(start + 4, end + 1, 4):
        loss = 0.09 + 0.11 * math.exp(-step / 90) + rough.gauss(0, 0.008)
        metrics = {"loss": loss, "learning_rate": 1e-4}
        if step % 100 == 0:
            metrics["validation_loss"] = 0.1 + 0.1 * math.exp(-step / 110)
        now = datetime.now(UTC).isoformat()
        worker.say(paths.PROGRESS, step=step, total_steps=STEPS, seconds_left=(STEPS - step) * 1.9, metrics=metrics, sent_at=now)
        if step % 100 == 0:
            worker.publish(step, rough.randbytes(400_000)).raise_for_status()
            _samples(worker, photographs, step)
    lines = [
        f"step {step:4d}/{STEPS}  loss {0.09 + 0.11 * math.exp(-step / 90):.4f}  lr 1.0e-04"
        for step in range(start + 10, end + 1, 10)
    ]
    worker.say(paths.LOG, first=0, lines=lines)
    worker.heartbeat(1, end)


def _samples(worker: HttpWorker, photographs: Path, step: int) -> None:
    for number, (prompt, name) in enumerate(PROMPTS.items()):
        image = Image.open(photographs / f"{name}.png").convert("RGB").resize((256, 256))
        image = image.filter(ImageFilter.GaussianBlur(max(0.0, 9 - step / 40)))
        image = ImageEnhance.Color(image).enhance(0.6 + step / 300)
        data = BytesIO()
        image.save(data, "PNG")
        item = worker.write(layout.sample_object(worker.job, worker.fence, step, f"prompt-{number}.png"), data.getvalue())
        worker.say(paths.SAMPLE, step=step, prompt=prompt, object=item).raise_for_status()


def _take(opened: Window, served: Served, jobs: dict[str, str], language: str) -> None:
    page = opened.page
    _log_in(opened, served)
    for name, address in {
"home": "/", "job": f"/jobs/{jobs['finished']}", "failed": f"/jobs/{jobs['failed']}", "running": f"/jobs/{jobs['running']}",
        "dataset": f"/datasets/{jobs['dataset']}", "new-job": f"/jobs/new?dataset={jobs['dataset']}", "fleet": "/fleet", "queue": "/queue",
    }.items():  # fmt: skip
        # A job's page holds its stream of events open, so that its network is never idle.
        page.goto(served.url + address, wait_until="load" if "/jobs/" in address else "networkidle")
        page.wait_for_timeout(400)
        # The side bar is as high as the window: for a whole page the window is as high as the page.
        height = page.evaluate("document.documentElement.scrollHeight") if name in ("job", "failed") else HEIGHT
        page.set_viewport_size({"width": WIDTH, "height": height})
        _save(page.screenshot(), f"console-{name}-{language}.png")
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    opened.context.close()


def _take_phone(opened: Window, served: Served, jobs: dict[str, str]) -> None:
    _log_in(opened, served)
    opened.page.goto(f"{served.url}/jobs/{jobs['running']}", wait_until="load")
    opened.page.wait_for_timeout(400)
    _save(opened.page.screenshot(), "console-phone-en.png")
    opened.context.close()


def _save(png: bytes, name: str) -> None:
    # 256 colours are enough for a page and a third of the bytes.
    Image.open(BytesIO(png)).convert("RGB").quantize(256).save(IMAGES / name, optimize=True)


def _log_in(opened: Window, served: Served) -> None:
    opened.page.goto(f"{served.url}/login")
    opened.page.locator("#token").fill(served.token)
    opened.page.locator("main button").click()
    opened.page.wait_for_url(f"{served.url}/")


if __name__ == "__main__":
    main()
