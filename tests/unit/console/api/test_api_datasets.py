"""Data sets over the API: uploads, drafts, captions, downloads."""

import io
import zipfile
from urllib.parse import quote

import httpx
import pytest

from lorafleet.console.domain.records import Role
from tests.unit.console.api.running_console import API, PICTURES, RunningConsole, StartConsole, new_dataset, problem


def packed(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def made(console: RunningConsole, name: str, kind: str = "images") -> str:
    return str(console.admin.post(f"{API}/datasets", json={"name": name, "kind": kind}).json()["id"])


def test_a_zip_becomes_a_version_and_what_is_no_picture_is_named(console: RunningConsole) -> None:
    members = {"set/城市.png": PICTURES["photo-1.png"], "set/城市.txt": "夜晚的城市".encode(), "set/broken.png": b"no picture"}
    files = [("files", ("my set.zip", packed(members)))]
    version = console.admin.post(f"{API}/datasets/{made(console, 'zip')}/uploads", files=files)
    assert version.status_code == 201, version.text
    body = version.json()
    assert body["rows"] == 1
    assert [item["name"] for item in body["left_out"]] == ["set/broken.png"]
    assert set(body["stores"]) == {"local", "backup"}
    captions = console.admin.get(f"{API}/datasets/{body['dataset']}/versions/{body['version']}/captions").json()["captions"]
    assert list(captions.values()) == ["夜晚的城市"]
    (file,) = captions
    url = f"{API}/datasets/{body['dataset']}/versions/{body['version']}/files/{quote(file)}"
    got = console.admin.get(url)
    assert (got.status_code, got.headers["content-type"]) == (200, "image/png")
    assert got.headers["content-security-policy"].startswith("sandbox")
    assert "attachment" in got.headers["content-disposition"]


def test_the_same_files_are_the_same_version(console: RunningConsole) -> None:
    dataset, version = new_dataset(console.admin, "twice")
    files = [("files", (name, data)) for name, data in PICTURES.items()]
    files += [("files", (f"{name[:-4]}.txt", f"a {name} at night".encode())) for name in PICTURES]
    again = console.admin.post(f"{API}/datasets/{dataset}/uploads", files=files).json()
    assert again["version"] == version
    assert len(console.admin.get(f"{API}/datasets/{dataset}/versions").json()) == 1


def test_captions_are_changed_in_a_new_version(console: RunningConsole) -> None:
    dataset, version = new_dataset(console.admin, "captions")
    base = f"{API}/datasets/{dataset}/versions"
    before = console.admin.get(f"{base}/{version}/captions").json()["captions"]
    file = next(iter(before))
    edited = console.admin.post(f"{base}/{version}/captions", json={"captions": {file: "neon rain"}})
    assert edited.status_code == 201, edited.text
    new = edited.json()["version"]
    assert new != version
    assert console.admin.get(f"{base}/{new}/captions").json()["captions"] == {**before, file: "neon rain"}
    # The old version is as it was, and no picture was stored again.
    new_keys = {item.key for item in console.ledger.datasets.version("default", dataset, new).files if f"/{new}/" in item.key}
    assert {key.rsplit("/", 1)[1] for key in new_keys} == {"metadata.csv"}
    assert console.admin.get(f"{base}/{version}/captions").json()["captions"] == before
    assert console.admin.get(f"{base}/{new}/files/{file}").content == console.admin.get(f"{base}/{version}/files/{file}").content
    assert console.admin.get(f"{API}/datasets/{dataset}").json()["version"] == new
    problem(console.admin.post(f"{base}/{version}/captions", json={"captions": {"none.png": "x"}}), 422)


def test_find_and_replace_is_a_preview_until_applied(console: RunningConsole) -> None:
    dataset, version = new_dataset(console.admin, "replace")
    url = f"{API}/datasets/{dataset}/versions/{version}/replace"
    preview = console.admin.post(url, json={"find": "night", "replace": "dawn"}).json()
    assert preview["version"] is None
    assert {change["after"].endswith("at dawn") for change in preview["changes"]} == {True}
    assert console.admin.get(f"{API}/datasets/{dataset}").json()["version"] == version
    applied = console.admin.post(url, json={"find": "night", "replace": "dawn", "apply": True}).json()
    assert applied["version"] not in (None, version)
    assert console.admin.post(url, json={"find": "absent", "apply": True}).json() == {"changes": [], "version": None}
    problem(console.admin.post(url, json={"find": "(", "regex": True}), 422)


def test_a_draft_grows_over_several_requests(console: RunningConsole) -> None:
    dataset = made(console, "draft")
    drafts = f"{API}/datasets/{dataset}/drafts"
    draft = f"{drafts}/{console.admin.post(drafts).json()['draft']}"
    for name, data in PICTURES.items():
        (taken,) = console.admin.post(f"{draft}/uploads", files=[("files", (name, data))]).json()
        assert taken["refused"] == ""
    captions = console.admin.get(f"{draft}/captions").json()["captions"]
    assert set(captions.values()) == {""}
    files = list(captions)
    assert console.admin.get(f"{draft}/files/{files[0]}").headers["content-security-policy"].startswith("sandbox")
    problem(console.admin.get(f"{draft}/files/none.png"), 404)
    changed = console.admin.put(f"{draft}/captions", json={"captions": {files[0]: "by hand"}}).json()["captions"]
    assert changed[files[0]] == "by hand"
    version = console.admin.post(f"{draft}/finish")
    assert (version.status_code, version.json()["rows"]) == (201, 2)
    problem(console.admin.get(f"{draft}/captions"), 404)
    problem(console.client(team="other").post(drafts), 404)


def test_texts_and_pictures_do_not_mix(console: RunningConsole) -> None:
    texts = made(console, "texts", "texts")
    good = console.admin.post(
        f"{API}/datasets/{texts}/uploads", files=[("files", ("a.jsonl", b'{"text": "hello"}\n{"text": "you"}\n'))]
    )
    assert (good.status_code, good.json()["rows"]) == (201, 2)
    problem(console.admin.post(f"{API}/datasets/{texts}/uploads", files=[("files", ("a.png", PICTURES["photo-1.png"]))]), 422)


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/passwd.png", "..\\\\evil.png", "a\x00b.png", "x/../../../evil.png"])
def test_hostile_names_stay_inside(console: RunningConsole, name: str) -> None:
    dataset = made(console, f"hostile {hash(name)}")
    before = set(console.directory.parent.rglob("*.png"))
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    content = head + PICTURES["photo-1.png"] + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = console.admin.post(f"{API}/datasets/{dataset}/uploads", content=content, headers=headers)
    assert answer.status_code in (201, 422)
    new = set(console.directory.parent.rglob("*.png")) - before
    assert bool(new) == (answer.status_code == 201)
    folders = {console.directory / "stores" / store / "datasets" / dataset for store in ("local", "backup")}
    assert all(folders & set(path.parents) for path in new)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"no form", "multipart/form-data; boundary=x"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\ncut off',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_a_broken_form_is_422_and_leaves_nothing(console: RunningConsole, content: bytes, kind: str) -> None:
    dataset = made(console, f"broken {content!r} {kind}")
    problem(console.admin.post(f"{API}/datasets/{dataset}/uploads", content=content, headers={"Content-Type": kind}), 422)
    left = console.directory / "uploads" / dataset
    assert not left.exists() or list(left.iterdir()) == []


def test_an_upload_is_as_large_as_it_may_be(start_console: StartConsole) -> None:
    small = start_console(upload_bytes=100_000)
    dataset = str(small.admin.post(f"{API}/datasets", json={"name": "large"}).json()["id"])
    files = [("files", ("a.txt", b"x" * 200_000))]
    problem(small.admin.post(f"{API}/datasets/{dataset}/uploads", files=files), 413)

    def pieces() -> object:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        for _ in range(300):
            yield b"x" * 1000
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = small.admin.post(f"{API}/datasets/{dataset}/uploads", content=pieces(), headers=headers)  # type: ignore[arg-type]
    except httpx.WriteError:
        return
    problem(answer, 413)
    assert small.admin.get(f"{API}/datasets/{dataset}/versions").json() == []


def test_a_new_version_begins_with_the_last_ones_files(console: RunningConsole) -> None:
    dataset, version = new_dataset(console.admin, "goes on")
    drafts = f"{API}/datasets/{dataset}/drafts"
    problem(console.admin.post(drafts, params={"base": "v-none"}), 404)
    draft = f"{drafts}/{console.admin.post(drafts, params={'base': version}).json()['draft']}"
    captions = console.admin.get(f"{draft}/captions").json()["captions"]
    assert len(captions) == 2
    assert all(text.endswith("at night") for text in captions.values())
    first, second = captions
    assert console.admin.get(f"{draft}/files/{first}").content.startswith(b"\x89PNG")
    assert console.admin.delete(f"{draft}/files/{first}").status_code == 204
    problem(console.admin.delete(f"{draft}/files/{first}"), 422)
    new = console.admin.post(f"{draft}/finish").json()
    assert (new["rows"], new["version"] != version) == (1, True)
    assert second in {file["name"] for file in new["files"]}


def test_one_request_takes_a_file_out(console: RunningConsole) -> None:
    dataset, version = new_dataset(console.admin, "less")
    base = f"{API}/datasets/{dataset}/versions/{version}"
    file = next(iter(console.admin.get(f"{base}/captions").json()["captions"]))
    problem(console.client(Role.VIEWER).delete(f"{base}/files/{file}"), 403)
    new = console.admin.delete(f"{base}/files/{file}")
    assert (new.status_code, new.json()["rows"]) == (200, 1)
    assert console.admin.get(f"{API}/datasets/{dataset}").json()["version"] == new.json()["version"]
    problem(console.admin.delete(f"{API}/datasets/{dataset}/versions/{new.json()['version']}/files/{file}"), 422)
