"""Logging in with a provider, against a real one on loopback: the walk, every refusal, and its change of keys."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr

from lorafleet.console.domain.membership import Membership, Rule
from lorafleet.console.domain.records import Role
from lorafleet.console.oidc.config import OidcConfig
from lorafleet.console.settings import OIDC_CALLBACK
from tests.unit.console.api.oidc_provider import CLIENT, CLIENT_SECRET, OidcProvider, new_key
from tests.unit.console.api.running_console import API, RunningConsole, StartConsole, problem

RULES = (
    Rule("fleet-admins", Membership("default", Role.ADMIN)),
    Rule("trainers", Membership("red", Role.TRAINER)),
)


def config_of(provider: OidcProvider, **changes: Any) -> OidcConfig:
    values = {
        "issuer": provider.url, "client_id": CLIENT, "client_secret": SecretStr(CLIENT_SECRET), "name": "Example & Co",
        "scopes": ("openid", "email"), "groups_claim": "groups", "rules": RULES, "end_with_id_token": True, **changes,
    }  # fmt: skip
    return OidcConfig(**values)


@pytest.fixture(scope="module")
def running() -> Iterator[OidcProvider]:
    provider = OidcProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def with_provider(running: OidcProvider, start_console: StartConsole) -> RunningConsole:
    console = start_console(oidc=config_of(running))
    running.callback = console.url + OIDC_CALLBACK
    return console


@pytest.fixture
def provider(running: OidcProvider) -> OidcProvider:
    running.reset()
    return running


Browser = Callable[[], httpx.Client]


@pytest.fixture
def browser(with_provider: RunningConsole) -> Browser:
    return lambda: with_provider.anonymous(headers={"Sec-Fetch-Site": "cross-site", "Accept": "application/json"})


def sent_back(one: httpx.Client) -> str:
    """Follow the link and log in at the provider: where that sends the browser back to."""
    begun = one.get("/login/oidc")
    assert begun.status_code == 303, begun.text
    answer = httpx.get(begun.headers["location"])
    assert answer.status_code == 302
    return answer.headers["location"]


def log_in(one: httpx.Client) -> httpx.Response:
    return one.get(sent_back(one))


def me(one: httpx.Client) -> tuple[str, str]:
    answer = one.get(f"{API}/me")
    assert answer.status_code == 200, answer.text
    return answer.json()["team"], answer.json()["role"]


def test_the_walk_opens_a_session_like_a_token_does_and_logging_out_ends_it(
    with_provider: RunningConsole, provider: OidcProvider, browser: Browser
) -> None:
    one = browser()
    page = one.get("/login", headers={"Accept": "text/html"}).text
    assert 'href="/login/oidc"' in page
    assert "Log in with Example &amp; Co" in page
    opened = log_in(one)
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    session, gone = sorted(opened.headers.get_list("set-cookie"), key=lambda cookie: cookie.startswith("lorafleet_login"))
    assert "HttpOnly" in session
    assert "samesite=lax" in session.lower()
    assert "Max-Age=0" in gone
    assert me(one) == ("red", "trainer")
    assert one.get("/", headers={"Accept": "text/html"}).status_code == 200
    assert "ada@example.org" in one.get("/", headers={"Accept": "text/html"}).text
    text = next(cookie.value for cookie in one.cookies.jar if cookie.name == "lorafleet")
    (row,) = [row for row in with_provider.ledger.access.audit("red").rows if row.action == "token.create"][:1]
    assert (row.actor, row.values["role"]) == ("oidc:1234", "trainer")
    assert one.post("/logout", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    problem(with_provider.anonymous().get(f"{API}/me", headers={"Authorization": f"Bearer {text}"}), 401)


def test_the_browser_is_sent_with_a_challenge_and_keeps_what_belongs_to_it_sealed(provider: OidcProvider, browser: Browser) -> None:
    begun = browser().get("/login/oidc")
    query = parse_qs(urlsplit(begun.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert all(len(query[name][0]) >= 43 for name in ("state", "nonce", "code_challenge"))
    assert "code_verifier" not in query
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Max-Age=600" in cookie
    assert query["state"][0] not in cookie
    again = parse_qs(urlsplit(browser().get("/login/oidc").headers["location"]).query)
    assert all(again[name] != query[name] for name in ("state", "nonce", "code_challenge"))


def foreign(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, new_key("k1"))


def unsigned(claims: dict[str, Any]) -> str:
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, claims))
        + "."
    )


def by_the_secret(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))


LATER = int(time.time()) + 7200
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"changes": {"iss": "https://evil.example"}}, "invalid_claim (iss)"),
    "another audience": ({"changes": {"aud": "another-client"}}, "invalid_claim (aud)"),
    "several audiences and no party": ({"changes": {"aud": [CLIENT, "another-client"]}}, "missing_claim (azp)"),
    "another party": ({"changes": {"azp": "another-client"}}, "invalid_claim (azp)"),
    "no audience": ({"changes": {"aud": None}}, "missing_claim (aud)"),
    "another nonce": ({"changes": {"nonce": "another"}}, "invalid_claim (nonce)"),
    "no nonce": ({"changes": {"nonce": None}}, "missing_claim (nonce)"),
    "expired": ({"changes": {"exp": LATER - 14_400}}, "expired_token (exp)"),
    "expired just now": ({"changes": {"exp": int(time.time()) - 10}}, "expired"),
    "without an end": ({"changes": {"exp": None}}, "missing_claim (exp)"),
    "an end that is no time": ({"changes": {"exp": "tomorrow"}}, "invalid_claim (exp)"),
    "issued later": ({"changes": {"iat": LATER}}, "invalid_claim (iat)"),
    "not good yet": ({"changes": {"nbf": LATER}}, "invalid_claim (nbf)"),
    "no subject": ({"changes": {"sub": None}}, "missing_claim (sub)"),
    "another access token": ({"changes": {"at_hash": "x"}}, "invalid_claim (at_hash)"),
    "a key of somebody else": ({"sign": foreign}, "bad_signature"),
    "not signed": ({"sign": unsigned}, "unsupported_algorithm"),
    "signed with the client's secret": ({"sign": by_the_secret}, "unsupported_algorithm"),
    "no token at all": ({"sign": lambda claims: "nonsense"}, "decode_error"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_id_token_that_is_not_good_opens_nothing(provider: OidcProvider, browser: Browser, why: str) -> None:
    wrong, said = REFUSED[why]
    for name, value in wrong.items():
        setattr(provider, name, value)
    one = browser()
    assert said in problem(log_in(one), 401)["detail"]
    assert "lorafleet" not in one.cookies
    problem(one.get(f"{API}/me"), 401)


def test_an_answer_without_an_id_token_is_the_provider_s_trouble(provider: OidcProvider, browser: Browser) -> None:
    provider.sign = lambda claims: None
    assert "openid" in problem(log_in(browser()), 503)["detail"]


@pytest.mark.parametrize("state", ["", "another", "x" * 64])
def test_another_state_opens_nothing(with_provider: RunningConsole, provider: OidcProvider, browser: Browser, state: str) -> None:
    one = browser()
    query = {name: values[0] for name, values in parse_qs(urlsplit(sent_back(one)).query).items()}
    problem(one.get(f"{OIDC_CALLBACK}?{urlencode({**query, 'state': state})}"), 401)
    assert "lorafleet" not in one.cookies


def test_an_answer_to_another_browser_opens_nothing(provider: OidcProvider, browser: Browser) -> None:
    one, other, third = browser(), browser(), browser()
    back = sent_back(one)
    problem(other.get(back), 401)
    other.get("/login/oidc")
    problem(other.get(back), 401)
    cookie = one.cookies["lorafleet_login"]
    third.cookies.set("lorafleet_login", cookie[:-6] + ("AAAA==" if not cookie.endswith("AAAA==") else "BBBB=="))
    problem(third.get(back), 401)


def test_a_code_of_somebody_else_s_login_is_refused_by_its_challenge(provider: OidcProvider, browser: Browser) -> None:
    victim, attacker = browser(), browser()
    stolen = parse_qs(urlsplit(sent_back(victim)).query)["code"][0]
    query = {name: values[0] for name, values in parse_qs(urlsplit(sent_back(attacker)).query).items()}
    answer = attacker.get(f"{OIDC_CALLBACK}?{urlencode({**query, 'code': stolen})}")
    assert "invalid_grant" in problem(answer, 401)["detail"]


def test_an_answer_is_good_once(provider: OidcProvider, browser: Browser) -> None:
    one = browser()
    back = sent_back(one)
    cookie = one.cookies["lorafleet_login"]
    assert one.get(back).status_code == 303
    again = browser()
    again.cookies.set("lorafleet_login", cookie)
    assert "invalid_grant" in problem(again.get(back), 401)["detail"]
    assert "lorafleet" not in again.cookies


@pytest.mark.parametrize("change", [{"error": "access_denied"}, {"iss": "https://evil.example"}, {"code": ""}])
def test_what_else_the_provider_may_send_back(provider: OidcProvider, browser: Browser, change: dict[str, str]) -> None:
    one = browser()
    query = {name: values[0] for name, values in parse_qs(urlsplit(sent_back(one)).query).items()}
    problem(one.get(f"{OIDC_CALLBACK}?{urlencode({**query, **change})}"), 401)
    assert "lorafleet" not in one.cookies


def test_a_person_who_says_no_is_told_so(provider: OidcProvider, browser: Browser) -> None:
    provider.denies = "access_denied"
    assert "access_denied" in problem(log_in(browser()), 401)["detail"]


@pytest.mark.parametrize("groups", [[], ["others"], None, "other", {"trainers": True}, [["trainers"]]])
def test_whoever_is_in_no_group_is_nobody_here(
    with_provider: RunningConsole, provider: OidcProvider, browser: Browser, groups: Any
) -> None:
    provider.groups = groups
    before = len(with_provider.ledger.access.tokens("red"))
    one = browser()
    assert "ada@example.org is in no group" in problem(log_in(one), 403)["detail"]
    assert len(with_provider.ledger.access.tokens("red")) == before


def test_roles_are_read_anew_at_each_login(provider: OidcProvider, browser: Browser) -> None:
    one = browser()
    log_in(one)
    assert me(one) == ("red", "trainer")
    provider.groups = ["trainers", "fleet-admins"]
    log_in(one)
    assert me(one) == ("default", "admin")
    provider.groups = []
    problem(log_in(browser()), 403)


def test_a_session_ends_with_the_id_token_or_before(
    start_console: StartConsole, with_provider: RunningConsole, provider: OidcProvider, browser: Browser
) -> None:
    def ends(console: RunningConsole, one: httpx.Client) -> timedelta:
        provider.callback = console.url + OIDC_CALLBACK
        log_in(one)
        newest = console.ledger.access.tokens("red")[0]
        assert newest.expires_at is not None
        return newest.expires_at - datetime.now(UTC)

    minute = timedelta(minutes=1)
    try:
        assert abs(ends(with_provider, browser()) - timedelta(hours=1)) < minute
        short = start_console(oidc=config_of(provider), session_lifetime=timedelta(minutes=10))
        assert abs(ends(short, short.anonymous()) - timedelta(minutes=10)) < minute
        own = start_console(oidc=config_of(provider, end_with_id_token=False))
        assert abs(ends(own, own.anonymous()) - timedelta(hours=12)) < minute
    finally:
        provider.callback = with_provider.url + OIDC_CALLBACK


@pytest.mark.parametrize("renamed", [True, False])
def test_a_provider_may_change_its_key_whatever_it_calls_it(provider: OidcProvider, browser: Browser, renamed: bool) -> None:
    log_in(browser())
    old = provider.keys[0]
    provider.rotate(f"{old.kid}-next" if renamed else str(old.kid))
    asked = provider.key_requests
    for _ in range(2):
        one = browser()
        assert log_in(one).status_code == 303
    assert provider.key_requests == asked + 1, "known keys are not asked for again"
    provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": old.kid}, claims, old)
    problem(log_in(browser()), 401)


def test_a_provider_that_is_away_leaves_tokens_good(
    with_provider: RunningConsole, provider: OidcProvider, browser: Browser
) -> None:
    one = browser()
    back = sent_back(one)
    provider.down = True
    answer = one.get(back)
    problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert with_provider.admin.get(f"{API}/me").status_code == 200
    assert "503" in checked(with_provider)["found"]
    provider.down = False
    assert checked(with_provider) == {"name": "provider", "result": "ok", "found": "answers", "hint": ""}


def checked(console: RunningConsole) -> dict[str, Any]:
    checks = console.admin.get(f"{API}/checkup").json()["checks"]
    return next(check for check in checks if check["name"] == "provider")


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"}, {"token_endpoint": "http://10.0.0.7/token"}, {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None}, {"authorization_endpoint": "javascript:alert(1)"},
    ],
)  # fmt: skip
def test_a_provider_that_is_not_what_it_says_is_not_used(
    start_console: StartConsole, provider: OidcProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    try:
        answer = start_console(oidc=config_of(provider)).anonymous().get("/login/oidc")
    finally:
        provider.metadata = {}
    problem(answer, 503)
    assert "location" not in answer.headers


def test_a_wrong_secret_of_the_console_is_said(
    start_console: StartConsole, provider: OidcProvider, with_provider: RunningConsole
) -> None:
    wrong = start_console(oidc=config_of(provider, client_secret=SecretStr("a-wrong-secret")))
    provider.callback = wrong.url + OIDC_CALLBACK
    try:
        assert "invalid_client" in problem(log_in(wrong.anonymous()), 401)["detail"]
    finally:
        provider.callback = with_provider.url + OIDC_CALLBACK


def test_a_refused_login_is_a_page_in_a_browser(provider: OidcProvider, browser: Browser) -> None:
    provider.groups = []
    one = browser()
    back = sent_back(one)
    answer = one.get(back, headers={"Accept": "text/html"})
    assert answer.status_code == 403
    assert "is in no group that has a role here" in answer.text
    wrong = one.post("/login", data={"token": "lf_wrong"}, headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})
    assert wrong.status_code == 401
    assert 'href="/login/oidc"' in wrong.text


def test_no_secret_of_the_client_is_in_a_repr(with_provider: RunningConsole) -> None:
    assert CLIENT_SECRET not in repr(with_provider.services)
    assert CLIENT_SECRET not in repr(with_provider.services.settings)


def test_a_console_without_a_provider_has_no_such_link(console: RunningConsole) -> None:
    anyone = console.anonymous()
    assert "/login/oidc" not in anyone.get("/login", headers={"Accept": "text/html"}).text
    problem(anyone.get("/login/oidc"), 404)
    problem(anyone.get(OIDC_CALLBACK, params={"code": "x", "state": "x"}), 404)
