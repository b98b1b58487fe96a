"""What a browser keeps between link and callback is good for ten minutes, and under this console's secret alone."""

import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from lorafleet.console.domain.membership import Membership, Rule
from lorafleet.console.domain.records import Role
from lorafleet.console.domain.refusals import Unauthorized
from lorafleet.console.oidc.config import OidcConfig
from lorafleet.console.oidc.login import LOGIN_SECONDS, Callback, OidcLogin
from tests.unit.console.api.oidc_provider import CLIENT, CLIENT_SECRET, OidcProvider

CALLBACK = "http://127.0.0.1:8400/login/oidc/callback"
OLD, NEW = "o" * 40, "n" * 40


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    made = OidcProvider()
    made.callback = CALLBACK
    yield made
    made.close()


@pytest.fixture
def config(provider: OidcProvider) -> OidcConfig:
    rules = (Rule("trainers", Membership("red", Role.TRAINER)),)
    return OidcConfig(provider.url, CLIENT, SecretStr(CLIENT_SECRET), "Example", ("openid",), "groups", rules, True)


def called_back(url: str) -> Callback:
    query = parse_qs(urlsplit(httpx.get(url).headers["location"]).query)
    return Callback(query["state"][0], query["code"][0], "", query["iss"][0])


def test_a_login_takes_ten_minutes_at_most(config: OidcConfig) -> None:
    clock = Clock()
    login = OidcLogin(config, CALLBACK, [OLD], clock)
    for waited, good in ((LOGIN_SECONDS - 1, True), (LOGIN_SECONDS, False)):
        url, cookie = login.begin()
        callback = called_back(url)
        clock.now += waited
        if good:
            assert login.finish(cookie, callback)[1] == Membership("red", Role.TRAINER)
        else:
            with pytest.raises(Unauthorized, match="took too long"):
                login.finish(cookie, callback)


def test_consoles_share_a_login_that_have_the_same_secret(config: OidcConfig) -> None:
    url, cookie = OidcLogin(config, CALLBACK, [OLD]).begin()
    callback = called_back(url)
    with pytest.raises(Unauthorized, match="has begun no login"):
        OidcLogin(config, CALLBACK, [NEW]).finish(cookie, callback)
    identity, _ = OidcLogin(config, CALLBACK, [NEW, OLD]).finish(cookie, callback)
    assert (identity.subject, identity.name) == ("1234", "ada@example.org")


def test_what_the_provider_says_of_itself_is_asked_for_again_after_an_hour(config: OidcConfig, provider: OidcProvider) -> None:
    clock = Clock()
    login = OidcLogin(config, CALLBACK, [OLD], clock)
    login.begin()
    provider.metadata = {"authorization_endpoint": f"{provider.url}/elsewhere"}
    try:
        assert login.begin()[0].startswith(f"{provider.url}/authorize?")
        clock.now += 3601
        assert login.begin()[0].startswith(f"{provider.url}/elsewhere?")
    finally:
        provider.metadata = {}


def test_a_name_has_no_control_characters_and_an_end(config: OidcConfig, provider: OidcProvider) -> None:
    login = OidcLogin(config, CALLBACK, [OLD])
    for claims, name in (
        ({"email": f"a\nb\x1b{'x' * 200}"}, "a b " + "x" * 96),
        ({"email": None, "preferred_username": "ada"}, "ada"),
        ({"email": None}, "1234"),
        ({"email": "\x00"}, "unknown"),
    ):
        provider.changes = claims
        url, cookie = login.begin()
        assert login.finish(cookie, called_back(url))[0].name == name
    provider.reset()
