"""Sealed secrets open under their key, for their team and name, and unchanged; never otherwise."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.sealing import Sealer, Unreadable

OLD, NEW = "o" * 40, "n" * 40
SEALED = Sealer("a purpose", [OLD]).seal("hf_abcdefgh", "red", "HF_TOKEN")


@given(st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()), st.sampled_from(["red", "blue"]))
def test_what_is_sealed_opens_and_is_never_sealed_the_same_way_twice(value: str, team: str) -> None:
    sealer = Sealer("a purpose", [NEW])
    sealed = sealer.seal(value, team, "HF_TOKEN")
    assert sealer.open(sealed, team, "HF_TOKEN") == value
    assert sealed != sealer.seal(value, team, "HF_TOKEN")
    assert sealed.isascii()


@pytest.mark.parametrize(
    ("team", "name"), [("blue", "HF_TOKEN"), ("red", "WANDB_API_KEY"), ("redHF_TOKEN", ""), ("HF_TOKEN", "red")]
)
def test_a_row_that_is_copied_elsewhere_does_not_open(team: str, name: str) -> None:
    with pytest.raises(Unreadable):
        Sealer("a purpose", [OLD]).open(SEALED, team, name)


@given(st.integers(0, len(base64.b64decode(SEALED.rpartition(".")[2])) - 1), st.integers(1, 255))
def test_one_changed_byte_is_noticed(place: int, change: int) -> None:
    head, _, text = SEALED.rpartition(".")
    data = bytearray(base64.b64decode(text))
    data[place] ^= change
    with pytest.raises(Unreadable):
        Sealer("a purpose", [OLD]).open(f"{head}.{base64.b64encode(bytes(data)).decode()}", "red", "HF_TOKEN")


@given(st.text(max_size=60))
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    for sealed in (text, f"v1.{text}", f"{SEALED.rpartition('.')[0]}.{text}"):
        with pytest.raises(Unreadable):
            Sealer("a purpose", [OLD]).open(sealed, "red", "HF_TOKEN")


def test_an_older_key_opens_and_the_newest_seals() -> None:
    both = Sealer("a purpose", [NEW, OLD])
    assert both.open(SEALED, "red", "HF_TOKEN") == "hf_abcdefgh"
    assert not both.is_newest(SEALED)
    anew = both.seal("hf_abcdefgh", "red", "HF_TOKEN")
    assert both.is_newest(anew)
    assert Sealer("a purpose", [NEW]).open(anew, "red", "HF_TOKEN") == "hf_abcdefgh"
    for sealer, sealed in ((Sealer("a purpose", [NEW]), SEALED), (Sealer("a purpose", [OLD]), anew)):
        with pytest.raises(Unreadable):
            sealer.open(sealed, "red", "HF_TOKEN")


def test_each_purpose_has_keys_of_its_own() -> None:
    with pytest.raises(Unreadable):
        Sealer("another purpose", [OLD]).open(SEALED, "red", "HF_TOKEN")
