"""The pages of a running console, as a browser gets them: whole, safe, in both languages, and what their forms do."""

import re
from datetime import timedelta

import httpx
import pytest

from lorafleet.console.domain.records import Role
from lorafleet.contracts.job_states import JobState
from tests.unit.console.api.running_console import RunningConsole, StartConsole, new_dataset, new_job
from tests.unit.console.web.conftest import SITES, Story, browser, told
from tests.unit.console.web.page_reader import PageReader


def addresses(story: Story) -> list[str]:
    version = f"/datasets/{story.dataset}/versions/{story.version}"
    jobs = [f"/jobs/{job}" for job in (story.finished, story.failed, story.running, story.waiting)]
    lists = [
        "/",
        "/datasets",
        "/jobs",
        "/jobs?state=failed",
        "/queue",
        "/fleet",
        "/secrets",
        "/tokens",
        "/audit",
        "/audit?verify=true",
    ]
    forms = ["/jobs/new", f"/jobs/new?goal=character&dataset={story.dataset}", "/jobs/new?goal=text", "/login"]
    return [*lists, *forms, f"/datasets/{story.dataset}", version, *jobs, "/no-such-page"]


@pytest.fixture(scope="module")
def admin(story: Story) -> httpx.Client:
    return browser(story.console)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_page_is_whole_and_has_nothing_that_the_policy_forbids(story: Story, language: str) -> None:
    client = browser(story.console, language=language)
    for address in addresses(story):
        answer = client.get(address)
        assert answer.status_code == (404 if address == "/no-such-page" else 200), f"{address}: {answer.text[:300]}"
        page = PageReader(answer.text)
        assert page.problems == [], address
        assert [title for title in page.titles if title.endswith("lorafleet")], address
        assert f'<html lang="{"en" if language == "en" else "zh-Hans"}"' in answer.text
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_every_link_leads_somewhere(story: Story, admin: httpx.Client) -> None:
    seen, left = set(), ["/"]
    while left:
        address = left.pop()
        if address in seen or not address.startswith("/") or address.startswith("/api/"):
            continue
        seen.add(address)
        answer = admin.get(address)
        assert answer.status_code == 200, address
        page = PageReader(answer.text)
        anchors = {link.partition("#")[2] for link in page.links if link.startswith("#")}
        assert anchors <= set(page.ids), address
        left += [link.partition("#")[0] for link in page.links]
    assert {f"/jobs/{story.finished}", f"/datasets/{story.dataset}", "/jobs/new"} <= seen


def test_what_people_wrote_is_text_and_never_markup(story: Story, admin: httpx.Client) -> None:
    for address in ("/", "/datasets", f"/datasets/{story.dataset}", f"/jobs/{story.finished}", "/jobs/new"):
        text = admin.get(address).text
        assert "<script>alert" not in text
        assert "<b>neon" not in text
    log = re.search(r"/jobs/[^\"]+\?log=1", admin.get(f"/jobs/{story.finished}").text)
    assert log is not None
    assert "&lt;script&gt;alert(1)" in admin.get(log[0]).text


def test_without_a_session_one_is_asked_to_log_in(story: Story) -> None:
    client = story.console.anonymous(headers={"Accept": "text/html"})
    answer = client.get("/jobs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/jobs")
    fragment = client.get("/live", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["hx-redirect"]) == (204, "/login")
    wrong = client.post("/login", data={"token": "nonsense"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert wrong.status_code == 401
    assert "That token is not good" in wrong.text
    programs = client.get("/jobs", headers={"Accept": "application/json"})
    assert programs.headers["content-type"] == "application/problem+json"


def test_another_teams_things_are_not_there(story: Story) -> None:
    stranger = browser(story.console, team="strangers")
    version = f"/datasets/{story.dataset}/versions/{story.version}"
    for address in (
        f"/jobs/{story.finished}",
        f"/jobs/{story.finished}/status",
        f"/jobs/{story.finished}/log",
        f"/jobs/{story.finished}/curve",
        f"/datasets/{story.dataset}",
        version,
        f"{version}/thumbnails/photo-1.png",
    ):
        assert stranger.get(address).status_code == 404, address
    for address in (f"/jobs/{story.running}/cancel", f"/jobs/{story.failed}/retry", f"{version}/captions", f"{version}/replace"):
        assert stranger.post(address, data={"find": "a", "paused": "true"}).status_code == 404, address
    assert stranger.post(f"/fleet/releases/{story.release}/revoke").status_code == 403
    assert stranger.post("/fleet/sites/aws-eu/pause", data={"paused": "true"}).status_code == 403
    for address in ("/", "/jobs", "/datasets", "/queue", "/fleet"):
        text = stranger.get(address).text
        assert story.dataset not in text
        assert story.running not in text


def test_a_viewer_looks_and_is_offered_nothing_to_do(story: Story) -> None:
    viewer = browser(story.console, Role.VIEWER)
    for address in (
        "/",
        "/jobs",
        "/datasets",
        f"/jobs/{story.running}",
        f"/jobs/{story.finished}",
        f"/datasets/{story.dataset}",
        "/fleet",
    ):
        text = viewer.get(address).text
        actions = set(re.findall(r'<form method="post" action="([^"]+)"', text)) - {"/preferences", "/logout"}
        assert not {action for action in actions if not action.endswith("/captions")}, address
        assert "save-captions" not in text
    assert viewer.get("/tokens").status_code == 403
    assert viewer.get("/jobs/new").status_code == 403
    assert viewer.post(f"/jobs/{story.running}/cancel").status_code == 403


def test_a_form_of_another_site_is_refused(story: Story, admin: httpx.Client) -> None:
    answer = admin.post(f"/jobs/{story.running}/cancel", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert story.console.ledger.jobs.get("default", story.running).cancel_requested is False


def test_a_finished_job_shows_both_sites_its_samples_and_its_weights(story: Story, admin: httpx.Client) -> None:
    text = admin.get(f"/jobs/{story.finished}").text
    assert "steps 0 to 4" in text
    assert "steps 4 to 10" in text
    assert "2 steps were trained twice" in text
    assert "the machine, network or store failed" in text
    assert "the disk is full" in text
    (sample,) = set(re.findall(r'<img loading="lazy" src="([^"]+)"', text))
    assert admin.get(sample).headers["content-type"] == "image/png"
    (weights,) = set(re.findall(r'href="(/api/v1/jobs/[^"]+\.safetensors)"', text))
    assert admin.get(weights).content == b"finished"
    curve = admin.get(f"/jobs/{story.finished}/curve").json()
    assert curve["steps"] == list(range(1, 11))
    assert [band["site"] for band in curve["bands"]] == ["aws-eu", "gcp-us"]
    assert curve["validation"][-1] == 0.3


def test_a_failed_job_says_why_and_offers_the_mend_which_makes_one_job_however_often_it_is_clicked(
    story: Story, admin: httpx.Client
) -> None:
    text = admin.get(f"/jobs/{story.failed}").text
    assert "memory was too small" in text
    assert "the GPU ran out of memory" in text
    key = re.search(r'name="remedy" value="true"><input type="hidden" name="key" value="([^"]+)"', text)
    assert key is not None
    form = {"remedy": "true", "key": key[1]}
    pages = [admin.post(f"/jobs/{story.failed}/retry", data=form) for _ in range(2)]
    assert pages[0].url == pages[1].url != f"/jobs/{story.failed}"
    job = story.console.ledger.jobs.get("default", pages[0].url.path.rpartition("/")[2])
    assert (job.training["batch_size"], job.training["gradient_accumulation"], job.training["gradient_checkpointing"]) == (
        2,
        2,
        True,
    )
    assert "The old one stays as it was" in pages[0].text
    assert "The old one stays as it was" not in admin.get(str(pages[0].url)).text


def test_a_waiting_job_says_why_in_the_readers_language(story: Story, admin: httpx.Client) -> None:
    assert "no worker has what it needs (2 GPUs with 48 GiB); the largest has no GPU." in admin.get("/queue").text
    assert "没有工作进程满足要求（2 块 48 GiB 的 GPU）" in browser(story.console, language="zh").get(f"/jobs/{story.waiting}").text


def test_a_job_is_submitted_by_the_form_once(story: Story, admin: httpx.Client) -> None:
    page = admin.get(f"/jobs/new?goal=character&dataset={story.dataset}").text
    fields = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', page))
    form = {"goal": "character", "preset": "character-sd-15-8", "dataset": story.dataset, "name": "by form", "key": fields["key"]}
    form |= {
        "gpus": "0",
        "memory_gib": "0",
        "training.trigger_word": "ohwx",
        "training.sample_prompts": "one\ntwo",
        "training.epochs": "3",
    }
    assert fields["training.learning_rate"] == "0.0001"
    answers = [admin.post("/jobs/new", data=form) for _ in range(2)]
    assert answers[0].url == answers[1].url
    job = story.console.ledger.jobs.get("default", answers[0].url.path.rpartition("/")[2])
    assert job.name == "by form"
    assert job.training["sample_prompts"] == ["one", "two"]
    assert job.training["epochs"] == 3
    assert job.training["lora_targets"] == "transformer"
    story.console.ledger.jobs.cancel("default", job.id, "test")


def test_a_form_that_is_not_right_comes_back_as_it_was_with_the_reason(story: Story, admin: httpx.Client) -> None:
    form = {
        "goal": "style",
        "preset": "style-sd-15-8",
        "dataset": "",
        "name": "keep me",
        "training.epochs": "many",
        "training.lora_rank": "0",
    }
    answer = admin.post("/jobs/new", data=form)
    assert answer.status_code == 422
    assert 'value="keep me"' in answer.text
    assert 'value="many"' in answer.text
    assert "choose a data set" in answer.text
    assert answer.text.count("field-bad") == 3
    summary = admin.post(
        "/jobs/new/summary", data=form | {"training.epochs": "2", "training.lora_rank": "4", "dataset": story.dataset}
    )
    assert "2 examples" in summary.text
    assert "lorafleet job submit --dataset" in summary.text
    assert PageReader(summary.text).problems == []


def test_captions_are_saved_as_one_new_version_and_an_unchanged_page_makes_none(
    console: RunningConsole, admin: httpx.Client
) -> None:
    dataset, version = new_dataset(console.admin, "captions by form")
    page = admin.get(f"/datasets/{dataset}").text
    names = re.findall(r'name="(caption:[^"]+)"', page)
    assert len(names) == 2
    same = {name: "x" for name in names} | {"page": "1"}
    saved = admin.post(f"/datasets/{dataset}/versions/{version}/captions", data={**same, names[0]: "  neon \n rain  "})
    assert "Saved as a new version" in saved.text
    assert ">neon rain</textarea>" in saved.text
    newest = console.ledger.datasets.get("default", dataset).version
    again = admin.post(f"/datasets/{dataset}/versions/{newest}/captions", data={**same, names[0]: "neon rain"})
    assert "Nothing was changed" in again.text
    assert len(console.ledger.datasets.versions("default", dataset)) == 2
    assert "older version" in admin.get(f"/datasets/{dataset}/versions/{version}").text


def test_find_and_replace_shows_what_it_would_change_before_it_does(console: RunningConsole, admin: httpx.Client) -> None:
    dataset, version = new_dataset(console.admin, "replace by form")
    address = f"/datasets/{dataset}/versions/{version}/replace"
    form = {"find": "at night", "replacement": "in the <rain>"}
    preview = admin.post(address, data=form, headers={"HX-Request": "true"})
    assert "2 captions would change" in preview.text
    assert "in the &lt;rain&gt;" in preview.text
    assert "<html" not in preview.text
    assert "<html" in admin.post(address, data=form).text
    assert console.ledger.datasets.get("default", dataset).version == version
    applied = admin.post(address, data={**form, "apply": "true"})
    assert applied.text.count("in the &lt;rain&gt;</textarea>") == 2


def test_a_picture_is_taken_out_in_a_new_version(console: RunningConsole, admin: httpx.Client) -> None:
    dataset, version = new_dataset(console.admin, "less by form")
    page = admin.get(f"/datasets/{dataset}").text
    (address,) = set(re.findall(r'formaction="([^"]+/remove)"', page))
    file = re.findall(r'name="file" value="([^"]+)"', page)[0]
    after = admin.post(address, data={"file": file, "page": "1"})
    assert "Taken out, in a new version" in after.text
    assert file not in after.text
    assert len(console.ledger.datasets.versions("default", dataset)) == 2
    assert "formaction" not in admin.get(f"/datasets/{dataset}/versions/{version}").text
    viewer = browser(console, Role.VIEWER)
    assert "formaction" not in viewer.get(f"/datasets/{dataset}").text
    assert viewer.post(address, data={"file": file}).status_code == 403


def test_secrets_go_in_and_never_come_out(console: RunningConsole, admin: httpx.Client) -> None:
    value = "a-value-that-nobody-sees"
    kept = admin.post("/secrets", data={"name": "PAGE_SECRET", "value": value})
    assert "PAGE_SECRET" in kept.text
    assert value not in kept.text
    trainer = browser(console, Role.TRAINER)
    seen = trainer.get("/secrets")
    assert "PAGE_SECRET" in seen.text
    assert 'action="/secrets' not in seen.text
    assert trainer.post("/secrets", data={"name": "OTHER_SECRET", "value": value}).status_code == 403
    assert trainer.post("/secrets/PAGE_SECRET/remove").status_code == 403
    viewer = browser(console, Role.VIEWER)
    assert viewer.get("/secrets").status_code == 403
    assert 'href="/secrets"' not in viewer.get("/").text
    for name, bad in (("LD_PRELOAD", value), ("page", value), ("PAGE_SECRET", "short"), ("PAGE_SECRET", f" {value}")):
        refused = admin.post("/secrets", data={"name": name, "value": bad})
        assert refused.status_code == 422
        assert bad not in refused.text
    assert "PAGE_SECRET" not in admin.post("/secrets/PAGE_SECRET/remove").text
    assert admin.post("/secrets/PAGE_SECRET/remove").status_code == 404
    assert "No secrets yet" in admin.get("/secrets").text


def test_thumbnails_are_made_anew_and_kept_by_the_browser(story: Story, admin: httpx.Client) -> None:
    (first, _) = re.findall(r'<img src="(/datasets/[^"]+/thumbnails/[^"]+)"', admin.get(f"/datasets/{story.dataset}").text)
    answer = admin.get(first)
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert admin.get(first + "x").status_code == 404


def test_stop_save_and_finish(console: RunningConsole, story: Story, admin: httpx.Client) -> None:
    assert "saves a checkpoint" in admin.post(f"/jobs/{story.running}/save").text
    refused = admin.post(f"/jobs/{story.waiting}/finish")
    assert refused.status_code == 409
    assert PageReader(refused.text).problems == []
    job = new_job(console.admin, story.dataset, name="stopped by form", gpus=4)["id"]
    assert "being stopped" in admin.post(f"/jobs/{job}/cancel").text
    assert console.ledger.jobs.get("default", job).state is JobState.CANCELLED


def test_the_page_of_a_job_of_long_ago_says_what_is_kept_no_longer(start_console: StartConsole) -> None:
    console = start_console(SITES, loops=False)
    with told(console) as story:
        client = browser(console)
        assert 'id="curves"' in client.get(f"/jobs/{story.finished}").text
        while console.ledger.upkeep.forget(timedelta(0)):
            pass
        page = client.get(f"/jobs/{story.finished}").text
        assert PageReader(page).problems == []
        assert "were kept until" in page
        for gone in ('id="curves"', 'id="samples"', 'id="log-part"', "chart.js", "log.js"):
            assert gone not in page
        for kept in ('id="attempts"', 'id="checkpoints"', "Download"):
            assert kept in page
        assert "were kept until" not in client.get(f"/jobs/{story.running}").text


def test_a_checkpoint_is_gone_on_from(story: Story, admin: httpx.Client) -> None:
    assert "Continue from here" in admin.get(f"/jobs/{story.finished}").text
    page = admin.post(f"/jobs/{story.finished}/continue", data={"step": "4", "key": "once"})
    job = story.console.ledger.jobs.get("default", page.url.path.rpartition("/")[2])
    assert (job.continue_from, job.continue_step) == (story.finished, 4)
    story.console.ledger.jobs.cancel("default", job.id, "test")


def test_a_release_is_rolled_back_and_a_site_paused(story: Story, admin: httpx.Client) -> None:
    text = admin.get("/fleet").text
    assert "bbbbbbbbbbbb" in text
    assert "Being checked" in text
    assert "Taken back" in admin.post(f"/fleet/releases/{story.release}/revoke").text
    assert "Roll back" not in admin.get("/fleet").text
    assert "Paused" in admin.post("/fleet/sites/gcp-us/pause", data={"paused": "true"}).text
    assert "gets jobs again" in admin.post("/fleet/sites/gcp-us/pause", data={"paused": "false"}).text


def test_a_token_is_shown_once_and_ends_when_it_is_revoked(console: RunningConsole, admin: httpx.Client) -> None:
    made = admin.post("/tokens", data={"name": "for <ci>", "role": "trainer", "days": "7"}).text
    token = re.search(r'id="new-token">([^<]+)<', made)
    assert token is not None
    assert token[1] not in admin.get("/tokens").text
    who = console.anonymous(headers={"Authorization": f"Bearer {token[1]}"})
    assert who.get("/api/v1/me").json()["role"] == "trainer"
    address = re.search(r'action="(/tokens/[^"]+/revoke)" data-confirm="End the token for &lt;ci&gt;', admin.get("/tokens").text)
    assert address is not None
    assert "good no more" in admin.post(address[1]).text
    assert who.get("/api/v1/me").status_code == 401


def test_language_and_theme_are_remembered(console: RunningConsole) -> None:
    client = browser(console)
    assert "<h1>任务</h1>" in client.post("/preferences", data={"language": "zh", "back": "/jobs?state=failed"}).text
    dark = client.post("/preferences", data={"theme": "dark", "back": "/jobs"})
    assert 'data-theme="dark"' in dark.text
    assert "<h1>任务</h1>" in dark.text
    away = client.post("/preferences", data={"theme": "light", "back": "https://elsewhere.example/"})
    assert away.url.path == "/"


def test_static_files_are_kept_for_ever_under_the_address_of_their_content(admin: httpx.Client) -> None:
    for address in re.findall(r'(?:src|href)="(/static/[^"#]+)', admin.get("/").text):
        answer = admin.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert admin.get("/static/../app.py").status_code == 404
    assert admin.get("/static/console.css").headers["cache-control"] == "no-cache"
