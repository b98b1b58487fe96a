"""A real Chromium, as installed on the machine, and what a page in it complains of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Each would talk to hosts of the browser's maker.
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run")
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def installed() -> str | None:
    """The browser's path."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Window:
    """A page with everything that it complained of: errors of scripts, refused requests, and breaches of the policy."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)


def window(
    browser: Browser, language: str = "en", theme: str = "light", width: int = 1280, height: int = 900, scale: float = 1
) -> Window:
    """An empty page in a context of its own."""
    context = browser.new_context(
        locale="zh-CN" if language == "zh" else "en-US",
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    context.add_init_script(_REPORT_VIOLATIONS)
    context.set_default_timeout(15_000)
    opened = Window(context, context.new_page())
    opened.page.on("console", lambda message: opened.complaints.append(message.text) if message.type == "error" else None)
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    return opened
