"""The static files: what is vendored is what it says, nothing comes from elsewhere, and no script makes code of text."""

import hashlib
import re

from lorafleet.console.web.preferences import own_path
from lorafleet.console.web.rendering import HERE, STATIC

OWN = sorted(path for path in STATIC.glob("*.js"))


def test_vendored_files_have_the_digests_that_are_written_down() -> None:
    rows = re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (STATIC / "vendor/VENDORED.md").read_text(), re.M)
    files = {path.name for path in (STATIC / "vendor").iterdir() if path.suffix in (".js", ".css")}
    assert {name for name, _ in rows} == files
    for name, digest in rows:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest
    for licence in ("htmx.LICENSE", "uPlot.LICENSE"):
        assert (STATIC / "vendor" / licence).stat().st_size > 0


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_code() -> None:
    assert OWN
    for path in [*OWN, STATIC / "console.css", *(HERE / "templates").glob("*.html")]:
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?:src|href|url|import|fetch)\s*[=(]?\s*[\"']?(?:https?:)?//", text), path.name
        code = text if path.suffix == ".js" else ""
        assert "hx-on" not in text, path.name
        assert not re.search(r"\beval\(|new Function|innerHTML|outerHTML =|insertAdjacentHTML|document\.write", code), path.name


def test_templates_use_only_icons_that_there_are() -> None:
    symbols = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    used = set()
    for path in [*(HERE / "templates").glob("*.html"), *HERE.glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"icons\.svg'\) }}#([a-z-]+)\"", text)) | set(re.findall(r"(?:icon|empty)\('([a-z-]+)'", text))
        used |= set(re.findall(r'NavItem\("[a-z]+", "[^"]+", .*, "([a-z]+)"\)', text))
    assert used - {"theme-"} <= symbols


def test_a_way_back_never_leads_to_another_site() -> None:
    for text in (
        "https://elsewhere.example/",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "javascript:alert(1)",
        "",
        "jobs",
        "/\tx",
        "http://[",
        "/a\r\nb",
    ):
        assert own_path(text) == "/", text
    assert own_path("/jobs?state=failed") == "/jobs?state=failed"
