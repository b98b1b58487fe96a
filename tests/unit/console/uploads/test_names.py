import re
from unicodedata import category, is_normalized

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorafleet.console.uploads.names import is_litter, label_of, shown, stored_name
from lorafleet.console.uploads.refusals import UploadRefused

hostile = st.lists(
    st.sampled_from(
        ["..", ".", "", "/", "\\", "C:", "a", "猫", "e\u0301", "\u202e", "\0", "\n", "\ud800", " ", "~", "con", "%2e%2e", "x.png"]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)


@given(hostile)
@example("a" * 800)
@example("a/" * 17 + "b")
def test_a_name_becomes_a_plain_label_or_is_refused_in_one_line(given_name: str) -> None:
    try:
        label = label_of(given_name, depth=16)
    except UploadRefused as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 400
        return
    parts = label.split("/")
    assert is_normalized("NFC", label)
    assert not {"", ".", ".."} & set(parts)
    assert not label.startswith("/")
    assert "\\" not in label
    assert not re.match("[A-Za-z]:", label)
    assert len(parts) <= 17
    assert len(label.encode()) <= 700
    assert all(category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in label)
    assert label_of(label, depth=16) == label


@given(hostile)
def test_a_stored_name_is_plain_whatever_the_label(label: str) -> None:
    name = stored_name(label or "x", "0123456789abcdef" * 4, ".png")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9a-f]{8}\.png", name)
    assert len(name) < 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty part"),
        (".", "is empty"),
        ("../cat.png", "leads out"),
        ("a/../../cat.png", "leads out"),
        ("..\\cat.png", "leads out"),
        ("/etc/passwd", "absolute"),
        ("\\\\server\\share\\cat.png", "absolute"),
        ("C:\\cat.png", "absolute"),
        ("c:cat.png", "absolute"),
        ("a//cat.png", "empty part"),
        ("a/b\\cat.png", "both kinds of slashes"),
        ("cat\u202egnp.exe", r"U\+202E"),
        ("cat\u2066.png", r"U\+2066"),
        ("ca\u200bt.png", r"U\+200B"),
        ("cat\0.png", r"U\+0000"),
        ("cat\x1b[2J.png", r"U\+001B"),
        ("cat\ud800.png", r"U\+D800"),
        ("a/" * 17 + "cat.png", "more than 16 folders"),
        ("猫" * 240 + ".png", "more than 700 bytes"),
    ],
)
def test_hostile_names(name: str, message: str) -> None:
    with pytest.raises(UploadRefused, match=message):
        label_of(name, depth=16)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("猫/图 1.png", "猫/图 1.png"),
        ("./cat.png", "cat.png"),
        ("folder\\cat.png", "folder/cat.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        (" cat.png ", "cat.png"),
        ("👩\u200d🚀.png", "👩\u200d🚀.png"),
        ("a..b/…/c.png", "a..b/…/c.png"),
    ],
)
def test_ordinary_names(name: str, label: str) -> None:
    assert label_of(name, depth=16) == label


def test_a_name_is_shown_as_it_is_not_as_it_wants_to_look() -> None:
    assert shown("cat\u202egnp.exe\n\ud800") == "cat\\u202egnp.exe\\n\\ud800"
    assert len(shown("x" * 1000)) < 120


@pytest.mark.parametrize(
    ("label", "litter"),
    [("__MACOSX/._cat.png", True), ("a/.DS_Store", True), ("Thumbs.db", True), (".git/config", True), ("cat.png", False)],
)
def test_litter(label: str, litter: bool) -> None:
    assert is_litter(label) is litter
