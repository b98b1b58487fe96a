from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lorafleet.console.objects.signing import METHODS, BadSignatureError, Permit, read_permit, signed_query, signed_url

SECRET = b"a secret of at least 32 bytes....."
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
permits = st.builds(
    Permit,
    st.sampled_from(METHODS),
    keys,
    st.integers(1, 10**12 - 1),
    st.none() | st.integers(0, 2**62),
    st.none() | digests,
)


@given(permits)
def test_a_signed_url_is_read_back(permit: Permit) -> None:
    url = urlsplit(signed_url("http://127.0.0.1:1/", permit, SECRET))
    place = "/list/" if permit.method == "LIST" else "/objects/"
    assert unquote(url.path) == place + permit.key
    assert read_permit(permit.method, permit.key, url.query, SECRET, permit.expires - 1) == permit


@given(permits, permits)
def test_a_signature_is_for_one_permit(one: Permit, other: Permit) -> None:
    assume(one != other)
    assert signed_query(one, SECRET).partition("signature=")[2] != signed_query(other, SECRET).partition("signature=")[2]


@given(permits, permits)
def test_no_part_can_be_exchanged(mine: Permit, theirs: Permit) -> None:
    query = signed_query(mine, SECRET)
    for method, key in ((theirs.method, mine.key), (mine.method, theirs.key)):
        if (method, key) != (mine.method, mine.key):
            with pytest.raises(BadSignatureError):
                read_permit(method, key, query, SECRET, mine.expires - 1)
    signature = query.partition("&signature=")[2]
    forged = signed_query(theirs, SECRET).partition("&signature=")[0] + "&signature=" + signature
    if forged != query:
        with pytest.raises(BadSignatureError):
            read_permit(mine.method, mine.key, forged, SECRET, 0)


@given(permits, st.data())
def test_any_changed_letter_is_refused(permit: Permit, data: st.DataObject) -> None:
    query = signed_query(permit, SECRET)
    position = data.draw(st.integers(0, len(query) - 1))
    letter = data.draw(st.sampled_from("abcXYZ0189&=%+-_. \n٣"))
    changed = query[:position] + letter + query[position + 1 :]
    assume(changed != query)
    with pytest.raises(BadSignatureError):
        read_permit(permit.method, permit.key, changed, SECRET, 0)


@given(permits, st.text("abc0189&=-_", max_size=20), st.booleans())
def test_nothing_can_be_added(permit: Permit, more: str, before: bool) -> None:
    assume(more)
    query = signed_query(permit, SECRET)
    with pytest.raises(BadSignatureError):
        read_permit(permit.method, permit.key, more + query if before else query + more, SECRET, 0)


@given(permits, st.integers(0, 10**6))
def test_it_ends_when_it_says(permit: Permit, late: int) -> None:
    with pytest.raises(BadSignatureError, match="expired"):
        read_permit(permit.method, permit.key, signed_query(permit, SECRET), SECRET, permit.expires + late)


@given(permits, st.binary(min_size=32, max_size=40))
def test_another_secret_opens_nothing(permit: Permit, other: bytes) -> None:
    assume(other != SECRET)
    with pytest.raises(BadSignatureError, match="wrong"):
        read_permit(permit.method, permit.key, signed_query(permit, other), SECRET, 0)
