"""Find and replace over captions, with a preview: nothing is changed here."""

from collections.abc import Mapping
from dataclasses import dataclass

from lorafleet.console.uploads.decoder import Decoder
from lorafleet.console.uploads.refusals import UploadRefused

PATTERN_LETTERS = 1000

_SECONDS = 2.0


@dataclass(frozen=True)
class Change:
    """What one image's caption would become."""

    file: str
    before: str
    after: str


def find_replace(captions: Mapping[str, str], find: str, replace: str, regex: bool = False) -> list[Change]:
    """The captions that would change, by file. With ``regex``, ``find`` is Python's and ``replace`` may name its groups.

    Raises:
        UploadRefused: ``find`` is empty, too long, no expression, or takes too long.
    """
    if not find:
        raise UploadRefused("there is nothing to find", hint="say what is to be replaced")
    if max(len(find), len(replace)) > PATTERN_LETTERS:
        raise UploadRefused(f"the text has more than {PATTERN_LETTERS} letters", hint="use a shorter one")
    if regex:
        # Another process, because an expression can take longer than anybody lives, and Python's cannot be stopped.
        decoder = Decoder(_SECONDS)
        try:
            replaced: Mapping[str, str] = decoder.substitute(captions, find, replace)
        finally:
            decoder.close()
    else:
        replaced = {file: text.replace(find, replace) for file, text in captions.items()}
    changed = {file: " ".join(text.split()) for file, text in replaced.items()}
    return [Change(file, captions[file], changed[file]) for file in sorted(captions) if changed[file] != captions[file]]
