"""Every message of the pages is translated, with the same places to fill in, and nothing else is in the catalogue."""

import re

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from lorafleet.console.web import language as languages
from lorafleet.console.web.language import CHINESE, catalogue_path
from lorafleet.console.web.rendering import HERE
from lorafleet.contracts.console_api import NOT_SETTABLE
from lorafleet.contracts.training import TrainingConfig

PLACES = re.compile(r"%\((\w+)\)s|\{(\w+)\}")


def used() -> set[str | tuple[str, ...]]:
    methods = [("**.py", "python"), ("templates/**.html", "jinja2")]
    options = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
    keywords = {"gettext": None, "_": None, "ngettext": (1, 2)}
    found = {message for _, _, message, _, _ in extract_from_dir(str(HERE), methods, options, keywords)}
    return found | {
        info.description for key, info in TrainingConfig.model_fields.items() if key not in NOT_SETTABLE and info.description
    }


def catalogue() -> dict[str | tuple[str, ...], Message]:
    with catalogue_path(CHINESE).open("rb") as file:
        return {message.id: message for message in read_po(file) if message.id}


def texts(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (message.string,)


def test_every_message_is_translated_and_no_translation_is_left_over() -> None:
    translated = set(catalogue())
    assert used() - translated == set()
    assert translated - used() == set()


def test_each_translation_fills_in_what_the_message_does() -> None:
    for message in catalogue().values():
        one = message.id[-1] if isinstance(message.id, tuple) else message.id
        wanted = set(PLACES.findall(one))
        for text in texts(message):
            assert set(PLACES.findall(text)) == wanted, one


def test_translations_are_chinese() -> None:
    same = {"LoRA", "GPU"}
    for message in catalogue().values():
        for text in texts(message):
            assert message.fuzzy is False
            assert re.search(r"[\u4e00-\u9fff]", text) or text in same or PLACES.search(text), message.id


@pytest.mark.parametrize(("cookie", "accept", "chosen"), [
    (None, "", "en"), (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"), (None, "zh-Hans-SG", "zh"), (None, "de,en;q=0.5", "en"),
    (None, "en;q=0.1,zh;q=0.9", "zh"), ("zh", "en", "zh"), ("xx", "zh", "zh"), (None, "zh;q=0", "en"), (None, ";;q=,é", "en"),
])  # fmt: skip
def test_the_language_is_the_cookies_else_what_the_browser_likes_best(cookie: str | None, accept: str, chosen: str) -> None:
    assert languages.choose(cookie, accept).code == chosen


def test_numbers_and_spans_are_written_in_each_languages_way() -> None:
    english, chinese = languages.language("en"), languages.language("zh")
    assert english.number(12345) == "12,345"
    assert english.span(3_900) == "1 hr 5 min"
    assert chinese.span(3_900) == "1小时5分钟"
    assert (english.span(0), english.span(59.4), english.span(90_000)) == ("0 sec", "59 sec", "1 day 1 hr")
    assert english.size(0) == "0 B"
    assert english.size(1536) == "1.5 KiB"
    assert english.size(3 * 1024**3) == "3.0 GiB"
    assert english.percent(0.125) == "12.5%"
    assert english.significant(0.123456) == "0.1235"
    assert english.significant(2e-7) == "2.00e-07"
    assert english.ngettext("%(count)s step", "%(count)s steps", 1000) == "1,000 steps"
    assert chinese.ngettext("%(count)s step", "%(count)s steps", 1) == "1 步"
