"""The languages of the pages: which one a request gets, its words, and how it writes numbers and times.

The catalogues are the ``messages.po`` files below ``locale/``, read once. English is the language of the message ids.
"""

import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from babel import Locale, dates, negotiate_locale, numbers, units
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LOCALES = Path(__file__).parent / "locale"
ENGLISH, CHINESE = "en", "zh"
NAMES: Mapping[str, str] = {ENGLISH: "English", CHINESE: "中文"}
"""Each language by its own name."""

_TAGS = {ENGLISH: "en", CHINESE: "zh-Hans"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEP = 1024


class Language:
    """One language: words by gettext, the rest by the Unicode CLDR. All times are shown in UTC."""

    def __init__(self, code: str, translations: NullTranslations) -> None:
        self.code = code
        self.tag = _TAGS[code]
        self.translations = translations
        self._locale = Locale.parse("zh_Hans" if code == CHINESE else code)

    def gettext(self, message: str, **values: object) -> str:
        """A message, with ``%(name)s`` filled in."""
        return self._filled(self.translations.gettext(message), values)

    def ngettext(self, one: str, many: str, count: int, **values: object) -> str:
        """A message by number; ``%(count)s`` is the number itself, written in the language's way."""
        return self._filled(self.translations.ngettext(one, many, count), {"count": self.number(count), **values})

    def sentences(self, *texts: str) -> str:
        """Sentences after each other; empty ones are left out."""
        return ("" if self.code == CHINESE else " ").join(text for text in texts if text)

    def number(self, value: float, digits: int = 0) -> str:
        """``12,345`` with so many digits after the point."""
        return numbers.format_decimal(value, format=f"#,##0.{'0' * digits}" if digits else "#,##0", locale=self._locale)

    def significant(self, value: float) -> str:
        """Four digits that say something, such as a loss's; very small and large ones as a power of ten."""
        if value != 0 and not 1e-4 <= abs(value) < 1e6:
            return f"{value:.2e}"
        return f"{value:.4g}"

    def percent(self, share: float) -> str:
        """``12.5%`` of a share between 0 and 1."""
        return numbers.format_percent(share, format="#,##0.#%", locale=self._locale)

    def money(self, value: float, currency: str) -> str:
        """An amount with its currency."""
        return numbers.format_currency(value, currency, locale=self._locale)

    def size(self, count: int) -> str:
        """Bytes in the largest binary unit that leaves a number of 1 or more."""
        value, unit = float(count), "B"
        for larger in ("KiB", "MiB", "GiB", "TiB"):
            if value < _STEP:
                break
            value, unit = value / _STEP, larger
        return f"{self.number(value, 0 if unit == 'B' or value >= 100 else 1)} {unit}"

    def moment(self, at: datetime) -> str:
        """Date and time to the minute, in UTC."""
        return f"{dates.format_datetime(at, 'medium', locale=self._locale)} UTC"

    def ago(self, at: datetime, now: datetime) -> str:
        """``3 minutes ago``."""
        return dates.format_timedelta(min(at - now, timedelta(0)), add_direction=True, locale=self._locale)

    def span(self, seconds: float) -> str:
        """A length of time in its two largest units: ``1 hr 5 min``."""
        whole = max(0, round(seconds))
        if whole < _MINUTE:
            parts = [(whole, "second")]
        elif whole < _HOUR:
            parts = [(round(whole / _MINUTE), "minute")]
        elif whole < _DAY:
            parts = [(whole // _HOUR, "hour"), (whole % _HOUR // _MINUTE, "minute")]
        else:
            parts = [(whole // _DAY, "day"), (whole % _DAY // _HOUR, "hour")]
        shown = [self._unit(count, unit) for count, unit in parts if count or len(parts) == 1]
        return ("" if self.code == CHINESE else " ").join(shown)

    def _unit(self, count: int, unit: str) -> str:
        return units.format_unit(count, f"duration-{unit}", length="short", locale=self._locale)

    def _filled(self, text: str, values: Mapping[str, object]) -> str:
        return text % values if values else text


@cache
def language(code: str) -> Language:
    """A language by its code. Raises KeyError for one that there is not."""
    return Language(code, NullTranslations() if code == ENGLISH else _translations(code))


def choose(cookie: str | None, accept: str) -> Language:
    """What the cookie says, else what the browser asks for (Accept-Language), else English."""
    if cookie in NAMES:
        return language(cookie)
    found = negotiate_locale(_by_preference(accept), [ENGLISH, CHINESE], sep="-")
    return language(found or ENGLISH)


def catalogue_path(code: str) -> Path:
    """The catalogue of a language."""
    return LOCALES / code / "LC_MESSAGES" / "messages.po"


def _translations(code: str) -> Translations:
    with catalogue_path(code).open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def _by_preference(accept: str) -> list[str]:
    weighed = []
    for part in accept.split(",")[:20]:
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        if tag.strip() and weight > 0:
            # Babel knows zh-Hans-CN and zh-TW by their first part.
            weighed.append((weight, tag.strip().partition("-")[0]))
    return [tag for weight, tag in sorted(weighed, key=lambda pair: -pair[0])]
