"""``lorafleet job``, ``lorafleet dataset`` and ``lorafleet secret``: the console from the command line."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lorafleet.client.client import Client
    from lorafleet.contracts.console_api import EventView

job_app = typer.Typer(name="job", help="Submit training jobs and follow them.", rich_markup_mode=None, add_completion=False)
dataset_app = typer.Typer(name="dataset", help="Upload and list data sets.", rich_markup_mode=None, add_completion=False)
secret_app = typer.Typer(
    name="secret", help="Keep a team's secrets for its training jobs.", rich_markup_mode=None, add_completion=False
)

ConsoleUrl = Annotated[str | None, typer.Option("--console", metavar="URL", help="The console; default: LORAFLEET_CONSOLE.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="File with the token; default: LORAFLEET_TOKEN_FILE, or LORAFLEET_TOKEN itself."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line.")]
SecretName = Annotated[str, typer.Argument(metavar="NAME", help="The environment variable, such as WANDB_API_KEY.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@job_app.command()
def submit(
    dataset: Annotated[str, typer.Option(help="The data set's id.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Training keys.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training configuration; places are left to the worker.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Default: the data set's id.")] = None,
    version: Annotated[str | None, typer.Option(help="The data set's version; default: the newest.")] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    gpus: Annotated[int, typer.Option(min=0, max=16, help="GPUs that the job needs.")] = 0,
    min_memory_mib: Annotated[int, typer.Option(min=0, help="Memory that each of them needs.")] = 0,
    continue_from: Annotated[str | None, typer.Option(metavar="JOB", help="Go on from a checkpoint of this job.")] = None,
    continue_step: Annotated[int | None, typer.Option(min=0, help="Its newest one if left out.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same submission twice makes one job.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job."""
    from lorafleet.contracts.console_api import NOT_SETTABLE, NewJob
    from lorafleet.contracts.document import Document, validate
    from lorafleet.contracts.training import parse_overrides

    training = {key_: value for key_, value in _read_config(config).items() if key_ not in NOT_SETTABLE}
    training.update(parse_overrides(overrides or []))
    values = {
        "name": name or dataset, "dataset": dataset, "version": version, "training": training, "priority": priority, "gpus": gpus,
        "min_memory_mib": min_memory_mib, "continue_from": continue_from, "continue_step": continue_step,
    }  # fmt: skip
    request = validate(NewJob, Document(values, "job"))
    with _client(console, token_file) as client:
        job = client.submit(request, key)
        _print(job, as_json, job.id)
        if watch:
            _watch(client, job.id, as_json)


@job_app.command("list")
def list_jobs(
    state: Annotated[
        list[str] | None, typer.Option(help="waiting, running, succeeded, failed or cancelled; may be repeated.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Jobs of one data set.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    from itertools import islice

    from lorafleet.client.tables import jobs_table

    states = _states(state or [])
    with _client(console, token_file) as client:
        rows = list(islice(client.jobs(states, dataset), limit))
    _list(rows, as_json, jobs_table(rows))


@job_app.command()
def watch(job: JobName, console: ConsoleUrl = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Follow a job to its end. Ends with code 1 where it fails."""
    with _client(console, token_file) as client:
        _watch(client, job, as_json)


@job_app.command()
def cancel(job: JobName, console: ConsoleUrl = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Stop a job for good."""
    with _client(console, token_file) as client:
        found = client.cancel(job)
    _print(found, as_json, f"{job}: {'cancel asked for' if found.ended_at is None else found.state}")


@job_app.command()
def probe(job: JobName, console: ConsoleUrl = None, token_file: TokenFile = None) -> None:
    """Have candidate releases repeat this job where people's jobs are too few to judge them by."""
    with _client(console, token_file) as client:
        client.use_as_probe(job)
    typer.echo(f"candidate releases repeat {job} until they have enough samples")


@job_app.command()
def quota(
    team: Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")],
    limit: Annotated[
        str | None, typer.Argument(metavar="[COUNT]", help="So many jobs of it run at once; 'none' lifts the limit.")
    ] = None,
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show or set how many jobs of a team may run at once. For administrators of the fleet."""
    from lorafleet.contracts.console_api import NewQuota
    from lorafleet.contracts.document import Document, validate

    request = None
    if limit is not None:
        request = validate(NewQuota, Document({"max_running": None if limit == "none" else limit}, "quota"))
    with _client(console, token_file) as client:
        found = client.quota(team) if request is None else client.set_quota(team, request)
    at_once = "no limit" if found.max_running is None else f"at most {found.max_running} at once"
    _print(found, as_json, f"{team}: {at_once}")


@job_app.command()
def logs(
    job: JobName,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines.")] = 200,
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the end of a job's log."""
    with _client(console, token_file) as client:
        found = client.log(job, last)
        forgotten = None if found.lines else client.job(job).forgotten_at
    if forgotten is not None:
        typer.echo(f"this job's log was kept until {forgotten:%Y-%m-%d %H:%M} UTC", err=True)
    _print(found, as_json, *(_plain(line) for line in found.lines))


@job_app.command()
def download(
    job: JobName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to.")] = Path(),
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Download a job's finished files."""
    from lorafleet.contracts.problems import NoInputError

    with _client(console, token_file) as client:
        found = client.job(job)
        if not found.outputs:
            raise NoInputError(f"job {job} has no finished files; it is {found.state}", hint=f"lorafleet job watch {job}")
        for item in found.outputs:
            target = out / Path(item.name).name
            client.download(job, item.name, target)
            _print(item, as_json, str(target))


@dataset_app.command()
def push(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Folders, files, or one zip.")],
    name: Annotated[str | None, typer.Option(help="Make a new data set of this name; default: the first path's.")] = None,
    to: Annotated[str | None, typer.Option(metavar="DATASET", help="Add a version to this data set instead.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Keep the files and captions of that data set's newest version.")] = False,
    texts: Annotated[bool, typer.Option("--texts", help="It is a text set.")] = False,
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Upload a data set as a new version."""
    from lorafleet.client.collect import collect
    from lorafleet.contracts.problems import UsageError

    if add and to is None:
        raise UsageError("--add goes on from a data set that is there", hint="name it with --to DATASET")
    files = collect(paths)
    with _client(console, token_file) as client:
        newest = client.dataset(to).version if add and to is not None else None
        dataset = to or client.create_dataset(name or paths[0].resolve().stem, "texts" if texts else "images").id
        version = client.add_files(dataset, newest, files) if newest else client.upload(dataset, files)
    _print(version, as_json, f"{dataset} version {version.version}: {version.rows} examples, {len(version.files)} files")


@dataset_app.command()
def remove(
    dataset: Annotated[str, typer.Argument(help="The data set's id.")],
    file: Annotated[str, typer.Argument(help="The file's name in the data set.")],
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a file out of a data set's newest version, which makes a new version."""
    from lorafleet.contracts.problems import NoInputError

    with _client(console, token_file) as client:
        newest = client.dataset(dataset).version
        if newest is None:
            raise NoInputError(f"data set {dataset} has no version yet", hint=f"lorafleet dataset push PATH --to {dataset}")
        there = [item.name for item in client.version(dataset, newest).files]
        if file not in there:
            raise NoInputError(f"there is no such file in data set {dataset}", where=file, hint=_alike(file, there))
        version = client.remove_file(dataset, newest, file)
    _print(version, as_json, f"{dataset} version {version.version}: {version.rows} examples, {len(version.files)} files")


@dataset_app.command("list")
def list_datasets(console: ConsoleUrl = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the team's data sets, newest first."""
    from lorafleet.client.tables import datasets_table

    with _client(console, token_file) as client:
        rows = list(client.datasets())
    _list(rows, as_json, datasets_table(rows))


@secret_app.command("set")
def set_secret(
    name: SecretName,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", metavar="FILE", help="File with the value; default: standard input.")
    ] = None,
    console: ConsoleUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Keep a secret. Its value never stands on the command line, where other users see it, and is never shown again."""
    from lorafleet.client.secret_values import new_secret, read_value

    secret = new_secret(name, read_value(name, from_file))
    with _client(console, token_file) as client:
        kept = client.set_secret(name, secret)
    _print(kept, as_json, f"{kept.name} is kept; jobs that start from now on get it")


@secret_app.command("list")
def list_secrets(console: ConsoleUrl = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the team's secrets, without their values."""
    from lorafleet.client.tables import secrets_table

    with _client(console, token_file) as client:
        rows = client.secrets()
    _list(rows, as_json, secrets_table(rows))


@secret_app.command("remove")
def remove_secret(name: SecretName, console: ConsoleUrl = None, token_file: TokenFile = None) -> None:
    """Forget a secret. Jobs that run keep it to their end."""
    with _client(console, token_file) as client:
        client.remove_secret(name)
    typer.echo(f"{name} is forgotten")


def _client(url: str | None, token_file: Path | None) -> "Client":
    from lorafleet.client.address import find_address
    from lorafleet.client.client import Client

    return Client(find_address(url, token_file))


def _read_config(path: Path | None) -> dict[str, Any]:
    from lorafleet.contracts.document import parse
    from lorafleet.contracts.problems import ConfigError, NoInputError

    if path is None:
        return {}
    try:
        value = parse(path.read_text(encoding="utf-8"), str(path)).value
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise NoInputError(f"cannot read the configuration: {reason}", where=str(path)) from None
    if not isinstance(value, dict | None):
        raise ConfigError("this is no configuration: keys and values are needed", where=str(path))
    return {str(key): item for key, item in (value or {}).items()}


def _states(names: list[str]) -> list[Any]:
    from lorafleet.contracts.job_states import JobState
    from lorafleet.contracts.problems import UsageError

    try:
        return [JobState(name) for name in names]
    except ValueError as error:
        raise UsageError(f"--state: {error}", hint=", ".join(state.value for state in JobState)) from None


def _watch(client: "Client", job: str, as_json: bool) -> None:
    from lorafleet.contracts.job_states import JobState
    from lorafleet.contracts.problems import LorafleetError, Problem

    for event in client.watch(job):
        _print(event, as_json, _told(event))
    ended = client.job(job)
    _print(ended, as_json, f"{job}: {ended.state}")
    if ended.state is not JobState.SUCCEEDED:
        problems = [Problem(line.what, line.where, line.hint) for line in ended.problems]
        raise LorafleetError(problems or [Problem(f"the job is {ended.state}", where=job)])


def _told(event: "EventView") -> str:
    values = " ".join(f"{name}={_plain(str(value))}" for name, value in event.values.items() if not isinstance(value, dict | list))
    return f"{event.at:%H:%M:%S} {event.kind}{f' {values}' if values else ''}"


def _print(model: "BaseModel", as_json: bool, *lines: str) -> None:
    for line in [model.model_dump_json()] if as_json else lines:
        typer.echo(line)


def _list(rows: Iterable["BaseModel"], as_json: bool, table: Any) -> None:
    if as_json:
        for row in rows:
            typer.echo(row.model_dump_json())
        return
    from rich.console import Console

    Console().print(table)


def _alike(name: str, names: list[str]) -> str:
    """What was meant, perhaps: a file is stored under its name with the beginning of its SHA-256."""
    from difflib import get_close_matches

    return f"it has {', '.join(get_close_matches(name, names, 3, 0) or names[:3])}"


def _plain(text: str) -> str:
    # A log may hold what a terminal would obey.
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)
