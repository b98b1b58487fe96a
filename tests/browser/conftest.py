"""Fixtures of the browser tests: Chromium, and a console with one of everything."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from lorafleet.console.domain.records import Role
from tests.browser.chromium import Window, installed, launched, window
from tests.unit.console.api.conftest import start_console
from tests.unit.console.api.running_console import RunningConsole, StartConsole
from tests.unit.console.web.conftest import SITES, Story, told

__all__ = ["start_console"]

OpenWindow = Callable[..., Window]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = installed()
    if path is None:
        pytest.skip("no Chromium here; install the package 'chromium' (Debian, Ubuntu) to run the browser tests")
    with launched(path) as browser:
        yield browser


@pytest.fixture(scope="module")
def console(start_console: StartConsole) -> RunningConsole:
    # A browser asks for far more at once than a person's program does.
    return start_console(SITES, requests_per_second=1000.0, request_burst=10_000)


@pytest.fixture(scope="module")
def story(chromium: Browser, console: RunningConsole) -> Iterator[Story]:
    with told(console) as found:
        yield found


@pytest.fixture
def open_window(chromium: Browser, story: Story) -> Iterator[OpenWindow]:
    """Opens pages that are logged in."""
    opened: list[Window] = []

    def make(language: str = "en", theme: str = "light", width: int = 1280, role: Role = Role.ADMIN) -> Window:
        found = window(chromium, language, theme, width)
        _, text = story.console.ledger.access.create_token("default", f"{role} in a browser", role, "test")
        found.context.add_cookies(
            [{"name": "lorafleet", "value": text, "url": story.console.url, "httpOnly": True, "sameSite": "Lax"}]
        )
        opened.append(found)
        return found

    yield make
    for found in opened:
        found.context.close()
