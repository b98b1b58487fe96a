"""The client's parts that need no console."""

import io
import tempfile
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import parse_options_header
from rich.console import Console

from lorafleet.client.address import Address, find_address
from lorafleet.client.collect import collect
from lorafleet.client.events import ServerEvent, read_events
from lorafleet.client.multipart import FormFile, MultipartBody
from lorafleet.client.refusals import ConsoleRefused, ConsoleUnreachable, raise_for_problem
from lorafleet.client.tables import jobs_table
from lorafleet.contracts.console_api import JobRow
from lorafleet.contracts.problems import DataError, NoInputError, UsageError


@pytest.mark.parametrize("url", ["ftp://x", "console.example", "https://user:pw@x", "https://x/?q=1", "http://console.example", ""])
def test_an_address_that_is_none_or_leaks_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        Address(url)
    assert "pw" not in str(raised.value)


def test_the_token_comes_from_a_file_or_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    by_file = find_address("https://x/", file, {"LORAFLEET_TOKEN": "from-environment"})
    assert by_file.url == "https://x"
    assert by_file.token is not None
    assert by_file.token.get_secret_value() == "from-file"
    assert "from-file" not in repr(by_file)
    by_environment = find_address(None, None, {"LORAFLEET_CONSOLE": "http://127.0.0.1:1", "LORAFLEET_TOKEN": "t"})
    assert by_environment.token is not None
    with pytest.raises(UsageError, match="which console"):
        find_address(None, None, {})
    with pytest.raises(NoInputError, match="token"):
        find_address("https://x", tmp_path / "none", {})


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["progress", "end", "log"]),
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
        st.integers(0, 2**60),
    ),
    max_size=5,
)


@given(EVENTS)
def test_events_are_read_as_they_were_written(events: list[tuple[str, str, int]]) -> None:
    text = "retry: 2000\n\n" + "".join(f": comment\nid: {number}\nevent: {kind}\ndata: {data}\n\n" for kind, data, number in events)
    read = list(read_events(text.encode().split(b"\n")))
    assert read == [ServerEvent(kind, data, number) for kind, data, number in events]


def test_an_event_that_was_cut_off_is_dropped() -> None:
    assert list(read_events([b"event: log", b"data: {"])) == []


NAMES = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters='"\\'), min_size=1)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=4))
def test_a_form_is_as_long_as_it_says_and_holds_the_files(files: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        forms = []
        for number, (name, data) in enumerate(files):
            path = Path(folder) / str(number)
            path.write_bytes(data)
            forms.append(FormFile(name, path))
        body = MultipartBody(forms)
        sent = b"".join(body)
    assert len(sent) == len(body)
    _, options = parse_options_header(body.content_type)
    parts = sent.split(b"--" + options[b"boundary"])[1:-1]
    assert [part.partition(b"\r\n\r\n")[2][:-2] for part in parts] == [data for _, data in files]
    assert [name.encode() in part.partition(b"\r\n\r\n")[0] for (name, _), part in zip(files, parts, strict=True)] == [True] * len(
        files
    )


def test_folders_are_collected_without_hidden_files_and_links(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "inner").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("a.png", "inner/b.png", ".hidden", ".git/config", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    (folder / "link.png").symlink_to("/etc/hostname")
    assert [file.name for file in collect([folder])] == ["a.png", "inner/b.png"]
    assert [file.name for file in collect([folder / "a.png"])] == ["a.png"]
    with pytest.raises(DataError, match="twice"):
        collect([folder, folder / "a.png"])
    with pytest.raises(NoInputError):
        collect([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputError):
        collect([tmp_path / "empty"])


def answer(status: int, body: bytes) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.raw = io.BytesIO(body)
    return made


def test_refusals_are_told_in_the_console_s_words() -> None:
    body = b'{"type":"t","title":"T","status":422,"detail":"d","problems":[{"what":"wrong","where":"key","hint":"mend it"}]}'
    with pytest.raises(ConsoleRefused, match=r"key: wrong \(mend it\)") as raised:
        raise_for_problem(answer(422, body))
    assert raised.value.status == 422
    with pytest.raises(ConsoleUnreachable):
        raise_for_problem(answer(503, b"<html>"))
    with pytest.raises(ConsoleRefused, match="404"):
        raise_for_problem(answer(404, b"<html>"))
    raise_for_problem(answer(204, b""))


def test_a_name_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\udcff.png").write_bytes(b"x")
    with pytest.raises(DataError, match="not UTF-8") as raised:
        collect([tmp_path])
    str(raised.value).encode()


def test_a_file_that_goes_or_shrinks_while_it_is_sent_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("neon")
    body = MultipartBody([FormFile("a.txt", file)])
    file.write_text("n")
    with pytest.raises(NoInputError, match=r"a\.txt: the file became shorter"):
        list(body)
    file.unlink()
    with pytest.raises(NoInputError, match=r"a\.txt: the file cannot be read"):
        list(body)
    with pytest.raises(NoInputError, match="cannot be read"):
        MultipartBody([FormFile("a.txt", file)])


def test_an_id_is_shown_whole_however_narrow_the_terminal_is() -> None:
    ids = [f"{'a-long-name-' * 4}{number}" for number in range(2)]
    row = {
        "name": "n", "state": "waiting", "kind": "user", "dataset": "d", "priority": 0, "step": 0, "total_steps": 0, "loss": None,
        "submitted_by": "s", "submitted_at": "2026-01-01T00:00:00Z", "seconds_left": None, "published_step": None, "site": None,
        "ended_at": None, "waiting_for": "No worker is there in any site.", "unknown_since": None, "cancel_requested": False,
    }  # fmt: skip
    rows = [JobRow.model_validate({**row, "id": name}) for name in ids]
    text = io.StringIO()
    Console(file=text, width=80).print(jobs_table(rows))
    assert all(name in text.getvalue() for name in ids)
