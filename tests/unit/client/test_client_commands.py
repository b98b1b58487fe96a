"""The client and its commands against a real console."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from lorafleet.cli import main
from lorafleet.client.address import Address
from lorafleet.client.client import Client
from lorafleet.client.multipart import FormFile
from lorafleet.client.refusals import ConsoleRefused, ConsoleUnreachable
from lorafleet.console.domain.records import Role
from lorafleet.contracts.console_api import Continuation, NewJob
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.problems import StorageError
from tests.unit.console.api.running_console import PICTURES, HttpWorker, RunningConsole, StartConsole, picture

MakeWorker = Callable[..., HttpWorker]


def client_of(console: RunningConsole, **options: object) -> Client:
    _, text = console.ledger.access.create_token("default", "client", Role.TRAINER, "test")
    return Client(Address(console.url, SecretStr(text)), **options)  # type: ignore[arg-type]


def ask(dataset: str, **more: object) -> NewJob:
    return NewJob.model_validate({"name": "neon", "dataset": dataset, "training": {"base_model": "x"}, **more})


@pytest.fixture
def environment(console: RunningConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _, text = console.ledger.access.create_token("default", "command", Role.TRAINER, "test")
    file = tmp_path / "token"
    file.write_text(text)
    monkeypatch.setenv("LORAFLEET_CONSOLE", console.url)
    monkeypatch.setenv("LORAFLEET_TOKEN_FILE", str(file))
    return tmp_path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "cyberpunk"
    (folder / "inner").mkdir(parents=True)
    for name, data in PICTURES.items():
        (folder / "inner" / name).write_bytes(data)
        (folder / "inner" / name).with_suffix(".txt").write_text("neon, 雨")
    return folder


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_walk_from_the_command_line(
    console: RunningConsole, worker: MakeWorker, environment: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "push", str(pictures), "--json"]) == 0
    version = json.loads(lines_of(capsys)[0])
    assert version["rows"] == 2
    assert main(["dataset", "list"]) == 0
    assert "cyberpunk" in capsys.readouterr().out
    config = environment / "train.yaml"
    config.write_text("train_data_dir: here\noutput_dir: there\nbase_model: x\nmax_steps: 9\nlearning_rate: 2e-4\n")
    # Other tests of this console leave jobs behind; the worker is to take this one.
    first = ["--priority", "99"]
    arguments = ["--dataset", version["dataset"], "--config", str(config), "--key", "k", *first, "lora_rank=4"]
    assert main(["job", "submit", *arguments]) == 0
    (job,) = lines_of(capsys)
    assert main(["job", "submit", *arguments, "--json"]) == 0
    again = json.loads(lines_of(capsys)[0])
    assert again["id"] == job
    assert again["training"] == {"base_model": "x", "max_steps": 9, "learning_rate": 0.0002, "lora_rank": 4}

    def train() -> None:
        one = worker().leased()
        one.heartbeat()
        one.say("/api/v1/worker/log", first=0, lines=["step 1", "\x1b[31mred"])
        one.publish(5)
        one.succeed(b"weights")

    training = threading.Thread(target=train)
    training.start()
    assert main(["job", "watch", job]) == 0
    training.join()
    told = lines_of(capsys)
    assert "submitted" in told[0]
    assert told[-1] == f"{job}: succeeded"
    assert main(["job", "list", "--state", "succeeded", "--json"]) == 0
    assert job in [json.loads(line)["id"] for line in lines_of(capsys)]
    assert main(["job", "logs", job]) == 0
    assert lines_of(capsys) == ["step 1", " [31mred"]
    assert main(["job", "download", job, "--out", str(environment / "out")]) == 0
    (path,) = lines_of(capsys)
    assert Path(path).read_bytes() == b"weights"
    assert [entry.name for entry in (environment / "out").iterdir()] == [Path(path).name]
    assert main(["job", "cancel", job]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_failed_job_ends_the_watch_with_code_1_and_its_reason(
    console: RunningConsole, dataset: str, worker: MakeWorker, environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with client_of(console) as client:
        job = client.submit(ask(dataset, priority=100))
    one = worker().leased()
    assert one.job == job.id
    problem = {"what": "the image is broken", "where": "a.png", "hint": "remove it"}
    one.say("/api/v1/worker/outcome", outcome="user", exit_code=65, step=0, problems=[problem])
    assert main(["job", "watch", job.id]) == 1
    assert capsys.readouterr().err.splitlines() == ["error: a.png: the image is broken (remove it)"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["job", "submit", "--dataset", "no-such", "base_model=x"], "no data set"),
        (["job", "submit", "--dataset", "{dataset}", "lora_rang=4", "base_model=x"], "lora_rang"),
        (["job", "submit", "--dataset", "{dataset}", "output_dir=x", "base_model=x"], "worker decides"),
        (["job", "submit", "--dataset", "{dataset}", "--config", "/nowhere.yaml"], "cannot read"),
        (["job", "submit", "--dataset", "Bad Id", "base_model=x"], "dataset"),
        (["job", "list", "--state", "dreaming"], "dreaming"),
        (["job", "watch", "no-such"], "no job"),
        (["dataset", "push", "/nowhere"], "/nowhere"),
        (["job", "list", "--console", "http://127.0.0.1:9"], "cannot be reached"),
        (["job", "list", "--console", "http://console.example"], "plain http"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    console: RunningConsole,
    dataset: str,
    environment: Path,
    arguments: list[str],
    word: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lorafleet.client.client._FIRST_PAUSE_SECONDS", 0.001)
    assert main([argument.format(dataset=dataset) for argument in arguments]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert word in line


def test_commands_import_no_server(tmp_path: Path) -> None:
    code = (
        "import sys; from lorafleet.cli import main; main(['job', '--help']); main(['serve', '--help']); import lorafleet.client.client;"
        "print([m for m in ('fastapi', 'sqlalchemy', 'uvicorn', 'torch', 'PIL', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_client_tries_again_where_it_is_safe(start_console: StartConsole) -> None:
    console = start_console(request_burst=1, requests_per_second=5.0)
    pauses: list[float] = []
    with client_of(console, sleep=lambda seconds: pauses.append(seconds) or time.sleep(seconds)) as client:
        assert [client.who().role for _ in range(4)] == ["trainer"] * 4
    assert pauses
    pauses.clear()
    gone = Client(Address("http://127.0.0.1:9"), sleep=pauses.append)
    with gone, pytest.raises(ConsoleUnreachable):
        gone.who()
    assert pauses == [0.25, 0.5, 1.0, 2.0]
    pauses.clear()
    with gone, pytest.raises(ConsoleUnreachable):
        gone.create_dataset("once only")
    assert pauses == []


def test_the_client_s_other_calls(console: RunningConsole, dataset: str, worker: MakeWorker, tmp_path: Path) -> None:
    with client_of(console) as client:
        assert [row.id for row in client.datasets()]
        assert client.dataset(dataset).version is not None
        assert client.estimate(ask(dataset)).steps > 0
        job = client.submit(ask(dataset))
        assert job.id in [row.id for row in client.jobs([JobState.WAITING])]
        one = worker().leased()
        while one.job != job.id:
            one = worker().leased()
        one.heartbeat()
        client.save(job.id)
        assert one.heartbeat(1).json()["order"] == "save"
        one.publish(3)
        client.finish(job.id)
        assert one.heartbeat(2).json()["order"] == "finish"
        one.succeed(b"weights")
        assert [row.step for row in client.checkpoints(job.id)] == [3]
        assert [row.fence for row in client.attempts(job.id)] == [1]
        assert client.events(job.id)[0].kind == "submitted"
        assert client.retry(job.id).state is JobState.WAITING
        assert client.continue_job(job.id, Continuation(training={"epochs": 20})).continue_step == 3
        assert client.version(dataset, job.version).rows == 2
        with pytest.raises(ConsoleRefused) as raised:
            client.job("no-such")
        assert raised.value.status == 404
        with pytest.raises(StorageError):
            client.download(job.id, "neon.safetensors", Path("/proc/nowhere/x"))
        path = tmp_path / "a.txt"
        path.write_bytes(b"only text")
        with pytest.raises(ConsoleRefused):
            client.upload(dataset, [FormFile("a.txt", path)])


def test_files_are_added_to_and_taken_out_of_the_newest_version(
    environment: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "push", str(pictures), "--name", "grows", "--json"]) == 0
    first = json.loads(lines_of(capsys)[0])
    more = tmp_path / "more"
    more.mkdir()
    (more / "third.png").write_bytes(picture(5))
    assert main(["dataset", "push", str(more), "--to", first["dataset"], "--add", "--json"]) == 0
    second = json.loads(lines_of(capsys)[0])
    assert second["rows"] == 3
    third = next(file["name"] for file in second["files"] if file["name"].startswith("third"))
    assert main(["dataset", "remove", first["dataset"], third, "--json"]) == 0
    assert json.loads(lines_of(capsys)[0])["version"] == first["version"]
    assert main(["dataset", "remove", first["dataset"], third]) != 0
    capsys.readouterr()
    assert main(["dataset", "push", str(more), "--add"]) == 2
    assert "--to DATASET" in capsys.readouterr().err
    assert main(["dataset", "remove", first["dataset"], "none.png"]) != 0
    assert "no such file" in capsys.readouterr().err
    name = first["files"][0]["name"]
    assert main(["dataset", "remove", first["dataset"], f"{name.rpartition('-')[0]}.png"]) == 66
    assert name in capsys.readouterr().err


def test_a_teams_quota_from_the_command_line(
    console: RunningConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text = console.ledger.access.create_token("default", "quota", Role.ADMIN, "test")
    monkeypatch.setenv("LORAFLEET_CONSOLE", console.url)
    monkeypatch.setenv("LORAFLEET_TOKEN", text)
    for words, told in (
        (["red"], "red: no limit"),
        (["red", "3"], "red: at most 3 at once"),
        (["red"], "red: at most 3 at once"),
        (["red", "none"], "red: no limit"),
    ):
        assert main(["job", "quota", *words]) == 0
        assert lines_of(capsys) == [told]
    for wrong in ("many", "-1"):
        assert main(["job", "quota", "red", "--", wrong]) == 78
        assert "max_running" in capsys.readouterr().err
