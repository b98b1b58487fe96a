"""The pages in a real browser: axe finds nothing serious, the policy is never broken, a phone is wide enough, and pages live."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lorafleet.contracts import paths
from tests.browser.conftest import OpenWindow
from tests.unit.console.api.running_console import HttpWorker, new_dataset, new_job, picture
from tests.unit.console.web.conftest import Story, _now
from tests.unit.console.web.test_web_pages import addresses

SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_breaks_the_policy(
    story: Story, open_window: OpenWindow, language: str, theme: str
) -> None:
    opened = open_window(language, theme)
    axe = Axe()
    for address in addresses(story):
        opened.page.goto(story.console.url + address, wait_until="load")
        for details in opened.page.locator("details").all():
            details.evaluate("each => each.open = true")
        found = [each for each in axe.run(opened.page).response["violations"] if each["impact"] in SERIOUS]
        told = [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found]
        assert told == [], f"{address} ({theme}, {language})"
        expected = [] if address != "/no-such-page" else [each for each in opened.complaints if "404" in each]
        assert opened.complaints == expected, address
        opened.complaints.clear()


@pytest.mark.parametrize("width", [360, 820])
def test_no_page_is_wider_than_a_phone(story: Story, open_window: OpenWindow, width: int) -> None:
    opened = open_window(width=width)
    for address in addresses(story):
        opened.page.goto(story.console.url + address, wait_until="load")
        wide = opened.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{address} is {wide} px too wide at {width} px"


def test_the_chart_is_drawn_and_smoothing_and_log_scale_redraw_it(story: Story, open_window: OpenWindow) -> None:
    opened = open_window()
    opened.page.goto(f"{story.console.url}/jobs/{story.finished}")
    canvas = opened.page.locator("#chart canvas")
    expect(canvas).to_be_visible()
    drawn = canvas.evaluate("each => each.toDataURL()")
    opened.page.locator("#log-scale").check()
    assert opened.page.locator("#chart canvas").evaluate("each => each.toDataURL()") != drawn
    opened.page.locator("#smooth").fill("0")
    expect(opened.page.locator("#chart .u-legend")).to_contain_text("Validation loss")
    assert opened.complaints == []


def test_a_running_job_lives_on_its_page_and_a_reload_loses_nothing(story: Story, open_window: OpenWindow) -> None:
    console = story.console
    job = new_job(console.admin, story.dataset, name="watched live", priority=9)["id"]
    opened = open_window()
    page = opened.page
    page.goto(f"{console.url}/jobs/{job}")
    expect(page.locator("#status .sentence")).to_contain_text("Waiting")
    worker = HttpWorker(console, site="gcp-us", name="live").leased()
    assert worker.job == job
    worker.heartbeat()
    for step in (1, 2, 3):
        worker.say(paths.PROGRESS, step=step, total_steps=10, seconds_left=60.0, metrics={"loss": 0.5}, sent_at=_now())
    worker.say(paths.LOG, first=0, lines=["step 3: loss 0.5"])
    expect(page.locator("#status .sentence")).to_contain_text("step 3 of 10")
    expect(page.locator("#log")).to_contain_text("step 3: loss 0.5")
    page.reload()
    expect(page.locator("#status .sentence")).to_contain_text("step 3 of 10")
    expect(page.locator("#log")).to_contain_text("step 3: loss 0.5")
    expect(page.locator("#chart canvas")).to_be_visible()
    worker.say(paths.PROGRESS, step=7, total_steps=10, seconds_left=20.0, metrics={"loss": 0.3}, sent_at=_now())
    expect(page.locator("#status progress")).to_have_attribute("value", "7")
    page.get_by_role("button", name="Save now").click()
    expect(page.locator(".notice").first).to_contain_text("saves a checkpoint")
    worker.heartbeat(1, 7)
    worker.succeed()
    expect(page.get_by_role("link", name=re.compile("^Download"))).to_be_visible()
    assert opened.complaints == []
    worker.http.close()


def test_a_job_is_submitted_with_the_keyboard_alone(story: Story, open_window: OpenWindow) -> None:
    opened = open_window()
    page = opened.page
    page.goto(f"{story.console.url}/jobs/new?dataset={story.dataset}")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        pytest.fail(f"the keyboard does not reach {selector}")

    tab_to("[name=goal]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[name=goal][value=character]")).to_be_checked()
    expect(page).to_have_url(re.compile("goal=character"))
    tab_to("#name")
    page.keyboard.type("by keyboard")
    tab_to("#summary summary, .summary button")
    for _ in range(10):
        if page.evaluate("document.activeElement.matches('.summary button')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("by keyboard")
    assert opened.complaints == []


def test_the_summary_follows_the_form(story: Story, open_window: OpenWindow) -> None:
    opened = open_window()
    page = opened.page
    page.goto(f"{story.console.url}/jobs/new?dataset={story.dataset}")
    expect(page.locator("#summary .sentence")).to_contain_text("2 examples")
    page.locator("#f-epochs").fill("7")
    expect(page.locator("#summary")).to_contain_text("epochs=7", use_inner_text=False)
    page.locator("#f-epochs").fill("none")
    expect(page.locator("#summary .problems")).to_contain_text("a whole number")
    assert opened.complaints == []


def test_what_cannot_be_undone_is_asked_first(story: Story, open_window: OpenWindow) -> None:
    opened = open_window()
    page = opened.page
    page.goto(f"{story.console.url}/jobs/{story.waiting}")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Stop").click()
    assert asked == ["Stop this job for good?"]
    expect(page).to_have_url(f"{story.console.url}/jobs/{story.waiting}")
    assert story.console.ledger.jobs.get("default", story.waiting).ended_at is None


def test_the_switches_change_language_and_colours_and_are_remembered(story: Story, open_window: OpenWindow) -> None:
    page = open_window().page
    page.goto(f"{story.console.url}/jobs")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("任务")
    page.get_by_role("button", name="深色").click()
    page.goto(f"{story.console.url}/queue")
    expect(page.locator("h1")).to_have_text("队列")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 25)"


def test_a_data_set_grows_by_a_picture_and_one_is_taken_out(story: Story, open_window: OpenWindow) -> None:
    dataset, _ = new_dataset(story.console.admin, "grows in a browser")
    opened = open_window()
    page = opened.page
    page.goto(f"{story.console.url}/datasets/{dataset}")
    expect(page.locator(".grid .picture")).to_have_count(2)
    page.locator("details.upload summary").click()
    expect(page.get_by_label("Keep the files and captions that are there")).to_be_checked()
    page.locator("#pick-files").set_input_files({"name": "third.png", "mimeType": "image/png", "buffer": picture(7)})
    expect(page.locator(".grid .picture")).to_have_count(3, timeout=30_000)
    expect(page.locator(".picture", has_text="photo-1").locator("textarea")).to_have_value(re.compile("at night"))
    page.once("dialog", lambda dialog: dialog.dismiss())
    take_out = page.locator(".picture", has_text="third").get_by_role("button", name="Take out")
    take_out.click()
    expect(page.locator(".grid .picture")).to_have_count(3)
    page.once("dialog", lambda dialog: dialog.accept())
    take_out.click()
    expect(page.locator(".notice").first).to_contain_text("Taken out")
    expect(page.locator(".grid .picture")).to_have_count(2)
    assert len(story.console.ledger.datasets.versions("default", dataset)) == 2
    assert opened.complaints == []


def test_secrets_are_set_and_removed_in_both_languages(story: Story, open_window: OpenWindow) -> None:
    for language, keep, remove, name in (("en", "Keep it", "Remove", "ENGLISH_KEY"), ("zh", "保存", "删除", "CHINESE_KEY")):
        opened = open_window(language)
        page = opened.page
        page.goto(f"{story.console.url}/secrets")
        page.locator("#name").fill(name)
        page.locator("#value").fill("nobody-sees-this-value")
        page.get_by_role("button", name=keep, exact=True).click()
        row = page.get_by_role("row", name=re.compile(name))
        expect(row).to_be_visible()
        assert "nobody-sees-this-value" not in page.content()
        page.once("dialog", lambda dialog: dialog.accept())
        row.get_by_role("button", name=re.compile(remove)).click()
        expect(page.get_by_role("row", name=re.compile(name))).to_have_count(0)
        assert opened.complaints == []
