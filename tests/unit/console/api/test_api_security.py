"""Who may do what, and what a browser may be made to do."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lorafleet.console.api.defences import CSP
from lorafleet.console.domain.records import Role
from lorafleet.console.settings import Auth
from lorafleet.contracts import paths
from tests.unit.console.api.running_console import API, HttpWorker, RunningConsole, StartConsole, new_dataset, new_job, problem

MakeWorker = Callable[..., HttpWorker]


@pytest.fixture
def session(console: RunningConsole) -> httpx.Client:
    """A browser that used the one-time address."""
    browser = console.anonymous(headers={"Sec-Fetch-Site": "same-origin"})
    assert browser.get("/login/once", params={"token": console.services.logins.make()}).status_code == 303
    return browser


def test_no_token_is_401(console: RunningConsole) -> None:
    answer = console.anonymous().get(f"{API}/jobs")
    assert problem(answer, 401)["detail"].startswith("a token is needed")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("text", ["nonsense", "lf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "é", "a b", "x" * 2000])
def test_a_token_that_is_none_is_401(console: RunningConsole, text: str) -> None:
    headers = {"Authorization": f"Bearer {text}".encode()}
    assert console.anonymous().get(f"{API}/jobs", headers=headers).status_code == 401


def test_an_expired_or_revoked_token_is_401(console: RunningConsole) -> None:
    access = console.ledger.access
    _, old = access.create_token("default", "old", Role.ADMIN, "test", timedelta(seconds=-1))
    record, revoked = access.create_token("default", "revoked", Role.ADMIN, "test")
    headers = {"Authorization": f"Bearer {revoked}"}
    assert console.anonymous().get(f"{API}/jobs", headers=headers).status_code == 200
    assert console.admin.delete(f"{API}/tokens/{record.id}").status_code == 204
    for text in (old, revoked):
        problem(console.anonymous().get(f"{API}/jobs", headers={"Authorization": f"Bearer {text}"}), 401)


ROLES: list[tuple[str, str, dict[str, Any] | None, Role]] = [
    ("GET", "/jobs", None, Role.VIEWER),
    ("GET", "/me", None, Role.VIEWER),
    ("GET", "/sites", None, Role.VIEWER),
    ("POST", "/datasets", {"name": "by {role}"}, Role.TRAINER),
    ("POST", "/jobs/no-such-job/cancel", None, Role.TRAINER),
    ("PATCH", "/sites/nowhere", {"paused": True}, Role.ADMIN),
    ("POST", "/releases/r-1/revoke", {}, Role.RELEASER),
    ("GET", "/tokens", None, Role.ADMIN),
    ("GET", "/audit", None, Role.ADMIN),
    ("POST", "/sites/nowhere/enrolment", None, Role.ADMIN),
]


@pytest.mark.parametrize(("method", "path", "body", "least"), ROLES)
def test_each_role_may_what_it_may(
    console: RunningConsole, method: str, path: str, body: dict[str, Any] | None, least: Role
) -> None:
    order = list(Role)
    for role in order:
        sent = (
            None if body is None else {key: str(value).format(role=role) if key == "name" else value for key, value in body.items()}
        )
        answer = console.client(role).request(method, API + path, json=sent)
        assert (answer.status_code == 403) == (order.index(role) < order.index(least)), (role, answer.text)
        assert answer.status_code < 500


def test_nobody_gives_more_than_they_have(console: RunningConsole) -> None:
    trainer = console.client(Role.TRAINER)
    problem(trainer.post(f"{API}/tokens", json={"name": "more", "role": "admin"}), 403)
    made = trainer.post(f"{API}/tokens", json={"name": "less", "role": "viewer", "days": 1})
    assert made.status_code == 201
    text = made.json()["token"]
    who = console.anonymous().get(f"{API}/me", headers={"Authorization": f"Bearer {text}"}).json()
    assert (who["team"], who["role"]) == ("default", "viewer")
    assert text not in console.admin.get(f"{API}/tokens").text
    assert text not in console.admin.get(f"{API}/audit").text


def test_only_the_team_that_runs_the_fleet_changes_it(console: RunningConsole) -> None:
    other = console.client(team="other")
    problem(other.patch(f"{API}/sites/local", json={"paused": True}), 403)
    problem(other.get(f"{API}/quotas/other"), 403)
    problem(other.put(f"{API}/quotas/other", json={"max_running": 9}), 403)
    problem(other.post(f"{API}/sites/local/enrolment"), 403)
    problem(other.post(f"{API}/releases/r-1/revoke", json={}), 403)


def test_a_quota_is_set_seen_and_lifted(console: RunningConsole, worker: MakeWorker) -> None:
    url = f"{API}/quotas/default"
    assert console.admin.get(url).json() == {"team": "default", "max_running": None}
    for wrong in (-1, "many", 2**40):
        problem(console.admin.put(url, json={"max_running": wrong}), 422)
    assert console.admin.put(url, json={"max_running": 1}).json() == {"team": "default", "max_running": 1}
    dataset, _ = new_dataset(console.admin)
    jobs = [new_job(console.admin, dataset)["id"] for _ in range(2)]
    assert worker().leased().job == jobs[0]
    assert "quota of 1" in console.admin.get(f"{API}/jobs/{jobs[1]}").json()["waiting_for"]
    console.admin.put(url, json={"max_running": None})
    assert worker(name="w2").leased().job == jobs[1]
    told = [row["values"] for row in console.admin.get(f"{API}/audit").json()["rows"] if row["action"] == "team.quota"]
    assert told == [{"max_running": None}, {"max_running": 1}]


def test_another_teams_things_look_like_nothing(console: RunningConsole, worker: MakeWorker) -> None:
    """Every address of the OpenAPI document that names a thing, with ids of another team."""
    dataset, version = new_dataset(console.admin, "secret set")
    draft = console.admin.post(f"{API}/datasets/{dataset}/drafts").json()["draft"]
    job = new_job(console.admin, dataset)["id"]
    one = worker().leased()
    while one.job != job:
        one = worker().leased()
    one.heartbeat()
    one.publish(1)
    one.succeed()
    token = console.admin.get(f"{API}/tokens").json()[0]["id"]
    (output,) = console.admin.get(f"{API}/jobs/{job}").json()["outputs"]
    file = next(iter(console.admin.get(f"{API}/datasets/{dataset}/versions/{version}/captions").json()["captions"]))
    ids = {"dataset": dataset, "version": version, "draft": draft, "job": job, "token": token, "fence": "1", "step": "1"}
    bodies: dict[str, Any] = {
        "replace": {"find": "a"}, "captions": {"captions": {file: "x"}}, "continue": {}, "uploads": None,
    }  # fmt: skip
    document = console.admin.get(f"{API}/openapi.json").json()
    other = console.client(team="other")
    called = []
    for path, operations in document["paths"].items():
        names = set(re.findall(r"{(\w+)(?::path)?}", path))
        if not names & {"dataset", "job", "token"}:
            continue
        where = path.replace("{name}", output["name"] if "/outputs/" in path else file)
        for name, value in ids.items():
            where = where.replace(f"{{{name}}}", value)
        for method in operations:
            last = path.rstrip("}").rpartition("/")[2]
            files = [("files", ("a.txt", b"a"))] if last == "uploads" else None
            answer = other.request(method.upper(), where, json=bodies.get(last) if files is None else None, files=files)
            assert answer.status_code == 404, (method, where, answer.status_code, answer.text)
            assert "secret set" not in answer.text
            called.append(f"{method} {path}")
    assert len(called) >= 25
    body = {"name": "theirs", "dataset": dataset, "training": {"base_model": "x"}}
    problem(other.post(f"{API}/jobs", json=body), 404)
    problem(other.post(f"{API}/estimate", json=body), 404)
    own, _ = new_dataset(other)
    problem(other.post(f"{API}/jobs", json={**body, "dataset": own, "continue_from": job}), 404)
    for listing in ("jobs", "datasets"):
        assert dataset not in other.get(f"{API}/{listing}").text
        assert job not in other.get(f"{API}/{listing}").text
    for listing in ("tokens", "audit"):
        assert token not in other.get(f"{API}/{listing}").text
    assert job not in other.get(f"{API}/workers").text


def test_a_one_time_address_opens_once(console: RunningConsole) -> None:
    token = console.services.logins.make()
    browser = console.anonymous()
    opened = browser.get("/login/once", params={"token": token})
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert token not in cookie
    assert browser.get(f"{API}/me").json()["role"] == "admin"
    problem(console.anonymous().get("/login/once", params={"token": token}), 401)


def test_logging_out_ends_the_token(console: RunningConsole, session: httpx.Client) -> None:
    text = next(iter(session.cookies.jar)).value
    assert session.post("/logout").status_code == 303
    problem(console.anonymous().get(f"{API}/me", headers={"Authorization": f"Bearer {text}"}), 401)


def test_a_token_opens_a_session_that_ends_with_it(console: RunningConsole) -> None:
    record, text = console.ledger.access.create_token("default", "viewer", Role.VIEWER, "test")
    browser = console.anonymous(headers={"Origin": console.url})
    assert browser.post("/login", data={"token": text}).status_code == 303
    assert browser.get(f"{API}/me").json()["role"] == "viewer"
    console.admin.delete(f"{API}/tokens/{record.id}")
    problem(browser.get(f"{API}/me"), 401)
    assert browser.post("/logout").status_code == 303
    problem(console.anonymous().post("/login", data={"token": "lf_wrong"}), 401)


def test_logging_out_leaves_a_token_of_one_s_own_good(console: RunningConsole) -> None:
    _, text = console.ledger.access.create_token("default", "mine", Role.VIEWER, "test")
    browser = console.anonymous(headers={"Origin": console.url})
    browser.post("/login", data={"token": text})
    assert browser.post("/logout").status_code == 303
    problem(browser.get(f"{API}/me"), 401)
    assert console.anonymous().get(f"{API}/me", headers={"Authorization": f"Bearer {text}"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "forged"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "{own}"}, False),
        ({}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, True),
    ],
)
def test_a_cookie_alone_changes_nothing_from_elsewhere(
    console: RunningConsole, session: httpx.Client, headers: dict[str, str], forged: bool
) -> None:
    cookies = {cookie.name: cookie.value or "" for cookie in session.cookies.jar}
    sent = {name: value.format(own=console.url) for name, value in headers.items()}
    with httpx.Client(base_url=console.url, cookies=cookies, headers=sent) as browser:
        answer = browser.post(f"{API}/jobs/no-such-job/cancel")
        assert answer.status_code == (403 if forged else 404), answer.text
        assert browser.get(f"{API}/me").status_code == 200


def test_without_authentication_other_sites_pages_still_change_nothing(start_console: StartConsole) -> None:
    console = start_console(auth=Auth.NONE)
    anyone = console.anonymous()
    assert anyone.get(f"{API}/me").json()["role"] == "admin"
    assert anyone.post(f"{API}/datasets", json={"name": "by curl"}).status_code == 201
    problem(anyone.post(f"{API}/datasets", json={"name": "x"}, headers={"Origin": "https://evil.example"}), 403)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "169.254.169.254"])
def test_another_host_name_is_refused(console: RunningConsole, host: str) -> None:
    answer = console.admin.get(f"{API}/me", headers={"Host": host})
    assert answer.status_code in (400, 421)


def test_its_own_names_are_taken(console: RunningConsole) -> None:
    port = urlsplit(console.url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST", f"[::1]:{port}"):
        assert console.admin.get(f"{API}/me", headers={"Host": host}).status_code == 200


def test_every_answer_carries_the_headers(console: RunningConsole) -> None:
    for answer in (console.admin.get(f"{API}/me"), console.anonymous().get(f"{API}/me"), console.anonymous().get("/none")):
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert "unsafe" not in CSP


def test_too_many_requests_are_429_and_workers_are_spared(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console(request_burst=5, requests_per_second=0.01)
    client = console.client()
    codes = [client.get(f"{API}/me").status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    answer = client.get(f"{API}/me")
    assert int(answer.headers["retry-after"]) > 0
    problem(answer, 429)
    # Another caller goes on, but for one in sixteen, who is held up at the same gate.
    assert any(console.client().get(f"{API}/me").status_code == 200 for _ in range(8))
    one = worker(console=console).enrol()
    assert [one.ask_lease(0).status_code for _ in range(7)] == [204] * 7


def test_a_large_body_is_413(console: RunningConsole) -> None:
    answer = console.admin.post(f"{API}/datasets", content=b"x" * (5 * 1024**2), headers={"Content-Type": "application/json"})
    problem(answer, 413)


def test_files_of_the_console_are_its_owner_s(console: RunningConsole) -> None:
    for path in (console.directory / "secret", console.directory / "enrolment" / "local"):
        assert path.stat().st_mode & 0o077 == 0


def test_no_secret_is_in_a_repr(console: RunningConsole) -> None:
    secret = (console.directory / "secret").read_text().strip()
    assert secret not in repr(console.services)
    assert secret not in repr(replace(console.services.settings, port=1))
    assert "database_url" not in repr(console.services.settings)


def test_objects_are_not_listed_or_read_without_a_signature(console: RunningConsole) -> None:
    new_dataset(console.admin, "signed")
    files = [path for path in (console.directory / "stores" / "local").rglob("metadata.csv")]
    key = Path(*files[0].relative_to(console.directory / "stores" / "local").parts)
    for path in (f"/objects/local/objects/{key}", "/objects/local/list/", f"/objects/local/objects/{key}?expires=9999999999"):
        assert console.admin.get(path).status_code == 403


def test_the_enrolment_of_a_site_is_renewed(console: RunningConsole) -> None:
    made = console.admin.post(f"{API}/sites/local/enrolment")
    assert made.status_code == 201
    body = {"protocol": 1, "site": "local", "worker": "w", "credential": made.json()["credential"]}
    assert console.anonymous().post(paths.ENROL, json=body).status_code == 200
    assert made.json()["credential"] not in console.admin.get(f"{API}/audit").text
    problem(console.admin.post(f"{API}/sites/nowhere/enrolment"), 404)


def test_invented_tokens_do_not_get_round_the_limit(start_console: StartConsole) -> None:
    console = start_console(request_burst=5, requests_per_second=0.01)
    anyone = console.anonymous()
    codes = [anyone.get(f"{API}/me", headers={"Authorization": f"Bearer invented-{number}"}).status_code for number in range(120)]
    assert set(codes) == {401, 429}
    assert codes.count(401) <= 16 * 5


def test_what_was_done_is_in_the_audit_log_and_its_chain_holds(start_console: StartConsole) -> None:
    console = start_console()
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)["id"]
    console.admin.post(f"{API}/jobs/{job}/cancel")
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        page = console.admin.get(f"{API}/audit", params={"limit": 2, **({"after": after} if after else {})}).json()
        rows += page["rows"]
        after = page["after"]
        if after is None:
            break
    actions = [row["action"] for row in rows]
    assert actions[:3] == ["job.cancel", "job.submit", "dataset.version"]
    assert [row["number"] for row in rows] == list(range(len(rows), 0, -1))
    assert console.admin.get(f"{API}/audit/verify").json() == {"rows": len(rows)}


def test_probes_tell_of_the_database(console: RunningConsole) -> None:
    anyone = console.anonymous(headers={"Host": "10.0.0.7"})
    assert anyone.get("/healthz").status_code == 200
    assert anyone.get("/readyz").status_code == 200
