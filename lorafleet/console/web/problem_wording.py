"""What is wrong with a setting, in the page's language. The schema says it in English; a form that is not known here stays so."""

import re
from collections.abc import Callable

from lorafleet.console.web.language import Language


def explained(words: Language, what: str) -> str:
    """A problem of one setting, whose own name is left out: it stands beside it."""
    text = re.sub(r"^[a-z_0-9.]+: ", "", what)
    forms: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
        (r"key '.*' is missing", lambda _: words.gettext("this is needed")),
        (
            r"input should be greater than or equal to (\S+), found (.*)",
            lambda found: words.gettext("at least %(limit)s, not %(found)s", limit=found[1], found=found[2]),
        ),
        (
            r"input should be greater than (\S+), found (.*)",
            lambda found: words.gettext("more than %(limit)s, not %(found)s", limit=found[1], found=found[2]),
        ),
        (
            r"input should be less than or equal to (\S+), found (.*)",
            lambda found: words.gettext("at most %(limit)s, not %(found)s", limit=found[1], found=found[2]),
        ),
        (
            r"input should be less than (\S+), found (.*)",
            lambda found: words.gettext("less than %(limit)s, not %(found)s", limit=found[1], found=found[2]),
        ),
        (
            r"input should be a valid integer.*, found (.*)",
            lambda found: words.gettext("a whole number, not %(found)s", found=found[1]),
        ),
        (r"input should be a valid number.*, found (.*)", lambda found: words.gettext("a number, not %(found)s", found=found[1])),
        (r"choose a data set", lambda _: words.gettext("choose a data set")),
        (r"write a whole number", lambda _: words.gettext("write a whole number")),
    )
    for pattern, say in forms:
        if found := re.fullmatch(pattern, text):
            return say(found)
    return text
