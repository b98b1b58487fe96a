"""Templates, and what every page is given: language, theme, who looks, and where one can go."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from lorafleet.console.api.auth import allowed
from lorafleet.console.api.sessions import SESSION
from lorafleet.console.domain.records import Principal, Role
from lorafleet.console.domain.refusals import Forbidden
from lorafleet.console.web import language as languages
from lorafleet.console.web.config_text import as_value
from lorafleet.console.web.language import Language

HERE = Path(__file__).parent
STATIC = HERE / "static"
STATIC_PATH = "/static"
LANGUAGE_COOKIE, THEME_COOKIE, NOTICE_COOKIE = "lorafleet_language", "lorafleet_theme", "lorafleet_notice"
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True)
class NavItem:
    """A place of the navigation."""

    key: str
    path: str
    label: str
    icon: str


@dataclass(frozen=True)
class Look:
    """How a request's page looks: its language, its theme, and where it is."""

    language: Language
    theme: str
    path: str
    here: str
    notice: str = ""


def look(request: Request) -> Look:
    """Dependency: what the request's cookies and headers ask for."""
    theme = request.cookies.get(THEME_COOKIE, "auto")
    chosen = languages.choose(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))
    query = f"?{request.url.query}" if request.url.query else ""
    return Look(
        chosen,
        theme if theme in THEMES else "auto",
        request.url.path,
        request.url.path + query,
        notice_text(request.cookies.get(NOTICE_COOKIE, ""), chosen),
    )


Looks = Annotated[Look, Depends(look)]


def notice_text(key: str, words: Language) -> str:
    """What was just done, in words, by the key that the redirect left in a cookie."""
    texts = {
        "cancelled": words.gettext("The job is being stopped."),
        "save": words.gettext("The worker saves a checkpoint at its next step."),
        "finish": words.gettext("The worker stops now and keeps the weights as they are."),
        "retried": words.gettext("This is the new job. The old one stays as it was."),
        "submitted": words.gettext("Submitted. You may close this page: the job goes on by itself."),
        "captions": words.gettext("Saved as a new version. The older one stays as it was."),
        "taken_out": words.gettext("Taken out, in a new version. The older one stays as it was."),
        "secret_set": words.gettext("Kept. Jobs that start from now on get it."),
        "secret_removed": words.gettext("Removed. Attempts that have it keep it to their end."),
        "unchanged": words.gettext("Nothing was changed."),
        "revoked": words.gettext("The token is good no more."),
        "rolled_back": words.gettext("Taken back: share 0 in every site, and its jobs go on elsewhere."),
        "paused": words.gettext("The site is paused: its workers get no more jobs."),
        "resumed": words.gettext("The site gets jobs again."),
    }
    return texts.get(key, "")


def page(
    name: str,
    looks: Look,
    principal: Principal | None,
    values: Mapping[str, Any],
    *,
    status: int = 200,
) -> HTMLResponse:
    """A whole page."""
    words = looks.language
    context = {
        **values,
        "look": looks,
        "words": words,
        "principal": principal,
        "who": "" if principal is None else who(principal.subject),
        "navigation": navigation(words, principal),
        "languages": languages.NAMES,
        "themes": ((theme, label) for theme, label in zip(THEMES, _theme_labels(words), strict=True)),
    }
    response = HTMLResponse(environment(words.code).get_template(name).render(context), status_code=status)
    response.headers["Vary"] = "Cookie, Accept-Language"
    if looks.notice:
        response.delete_cookie(NOTICE_COOKIE, path="/")
    return response


def fragment(name: str, looks: Look, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """A part of a page, for HTMX."""
    context = {**values, "look": looks, "words": looks.language}
    return HTMLResponse(environment(looks.language.code).get_template(name).render(context), status_code=status)


@cache
def environment(code: str) -> Environment:
    """The templates in a language."""
    words = languages.language(code)
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(words.translations, newstyle=True)  # type: ignore[attr-defined]
    made.globals["static"] = static_url
    made.globals["words"] = words
    made.globals["as_value"] = as_value
    return made


@cache
def static_url(name: str) -> str:
    """The address of a static file; it changes with the content, so that browsers may keep what they have."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"{STATIC_PATH}/{name}?v={digest}"


def may(principal: Principal, role: Role) -> bool:
    """Whether a page shows what needs this role. The addresses behind check it again."""
    try:
        allowed(principal, role)
    except Forbidden:
        return False
    return True


def who(subject: str) -> str:
    """A subject as people call it: the name of their token."""
    return subject.removeprefix("token:").removeprefix(SESSION).strip() or subject


def navigation(words: Language, principal: Principal | None) -> tuple[NavItem, ...]:
    """Where this person can go."""
    if principal is None:
        return ()
    items = [
        NavItem("home", "/", words.gettext("Home"), "home"),
        NavItem("datasets", "/datasets", words.gettext("Data sets"), "images"),
        NavItem("jobs", "/jobs", words.gettext("Jobs"), "spark"),
        NavItem("queue", "/queue", words.gettext("Queue"), "queue"),
        NavItem("fleet", "/fleet", words.gettext("Fleet"), "globe"),
    ]
    if may(principal, Role.TRAINER):
        items.append(NavItem("secrets", "/secrets", words.gettext("Secrets"), "lock"))
    if may(principal, Role.ADMIN):
        items.append(NavItem("tokens", "/tokens", words.gettext("Tokens"), "key"))
        items.append(NavItem("audit", "/audit", words.gettext("Audit"), "list"))
    return tuple(items)


def _theme_labels(words: Language) -> tuple[str, str, str]:
    return words.gettext("Like the system"), words.gettext("Light"), words.gettext("Dark")
