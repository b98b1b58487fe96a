"""Runs a cloud program without a cloud, and keeps every request that the engine would get."""

import asyncio
import contextvars
import functools
import importlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict
from invented_outputs import KUBECONFIG, invented, secret, unknown_until_made
from pulumi.runtime import mocks, settings
from pulumi.runtime.stack import Stack, run_pulumi_func

from infra.config import SiteConfig, read
from infra.programs import provision
from infra.stack_file import load, stack_file
from lorafleet.contracts.document import Document

ROOT = Path(__file__).parents[3]
SITES = {"aws": "aws-eu-central-1", "gcp": "gcp-us-west1", "azure": "azure-westeurope"}


@dataclass(frozen=True)
class Resource:
    """One registration. ``dependencies`` are ``type::name`` of what it waits for; ``inputs`` have their names on the wire."""

    type: str
    name: str
    custom: bool
    inputs: dict[str, Any]
    parent: str
    provider: str
    protect: bool
    retain: bool
    ignore_changes: tuple[str, ...]
    dependencies: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.type}::{self.name}"


@dataclass
class Recording:
    """What a program declared; ``secrets`` are the names of outputs that Pulumi would hide."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def all(self, kind: str, name: str = "") -> list[Resource]:
        """Resources whose type ends with ``kind``; of one name where it is given."""
        return [each for each in self.resources if each.type.endswith(kind) and name in ("", each.name)]

    def one(self, kind: str, name: str = "") -> Resource:
        """The only such resource."""
        found = self.all(kind, name)
        assert len(found) == 1, f"{kind} {name}: {[each.label for each in found]}"
        return found[0]


class _Inventing(mocks.Mocks):
    def __init__(self, stacks: Mapping[str, dict[str, Any]]) -> None:
        self._stacks = stacks

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        if args.typ == "pulumi:pulumi:StackReference":
            return args.name, {"name": args.inputs["name"], "outputs": self._stacks[args.inputs["name"]], "secretOutputNames": []}
        if not args.custom:
            return "", args.inputs
        return invented(args.typ, args.name, args.inputs)

    def call(self, args: mocks.MockCallArgs) -> dict[Any, Any]:
        assert args.provider, "nothing asks by a default provider"
        if args.token == "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
            email = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
            return {"emailAddress": email, "member": f"serviceAccount:{email}", "project": args.args["project"]}
        assert args.token == "azure-native:containerservice:listManagedClusterUserCredentials", "the programs ask nothing else"
        return {"kubeconfigs": [{"name": "clusterUser", "value": secret(KUBECONFIG)}]}


class _Unknowing(_Inventing):
    """A first preview: nothing is there, so that nothing but the inputs is known."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return "", unknown_until_made(args.typ, args.inputs) if args.custom else args.inputs


class _Spy(mocks.MockMonitor):
    def __init__(self, recording: Recording, answers: mocks.Mocks) -> None:
        super().__init__(answers)
        self.recording = recording

    def RegisterResource(self, request: Any) -> Any:
        answer = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            self.recording.resources.append(
                Resource(
                    type=request.type,
                    name=request.name,
                    custom=request.custom,
                    inputs=MessageToDict(request.object),
                    parent=_short(request.parent),
                    provider=_short(request.provider),
                    protect=request.protect,
                    retain=request.retainOnDelete,
                    ignore_changes=tuple(request.ignoreChanges),
                    dependencies=tuple(sorted({_short(urn) for urn in request.dependencies})),
                )
            )
        return answer


def _short(urn: str) -> str:
    if not urn:
        return ""
    kind, name = urn.split("::")[2:4]
    return f"{kind.split('$')[-1]}::{name}"


def run(
    program: Callable[[], None], stack: str, *, preview: bool = False, stacks: Mapping[str, dict[str, Any]] = MappingProxyType({})
) -> Recording:
    """Run a program to its end. A ``preview`` is a first one, before anything is there; ``stacks`` are other stacks' outputs.

    Raises whatever the program raises.
    """
    recording = Recording()

    def isolated() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        settings.reset_options()
        answers = _Unknowing(stacks) if preview else _Inventing(stacks)
        mocks.set_mocks(
            answers,
            project="lorafleet",
            stack=stack,
            preview=preview,
            monitor=_Spy(recording, answers),
            organization="organization",
        )
        outputs: dict[str, Any] = {}

        async def body() -> None:
            root = settings.get_root_resource()
            assert isinstance(root, Stack)
            # The mocks' stack is closed from the start; the engine's is open while its program runs.
            root._async_program_registration_closed = False
            program()
            goes_on = root._take_async_program()
            if goes_on is not None:
                await goes_on()
            for name, value in root.outputs.items():
                output = pulumi.Output.from_input(value)
                outputs[name] = await output.future()
                if await output.is_secret():
                    recording.secrets.add(name)

        try:
            loop.run_until_complete(run_pulumi_func(body))
            recording.outputs.update(outputs)
        finally:
            loop.close()
            asyncio.set_event_loop(None)

    # In a thread of its own: Playwright leaves a loop running in the one that the tests run in.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(contextvars.copy_context().run, isolated).result()
    recording.resources.sort(key=lambda each: each.label)
    return recording


def example(cloud: str) -> SiteConfig:
    """The configuration of the repository's own stack file."""
    return load(stack_file(ROOT, SITES[cloud]))


def changed(cloud: str, **changes: Any) -> SiteConfig:
    """The example's configuration with keys replaced."""
    value = json.loads(example(cloud).model_dump_json(exclude_none=True))
    return read(Document({**value, **changes}, "test"))


@functools.cache
def recorded(cloud: str) -> Recording:
    """The program of the repository's own stack file, run once."""
    return record(cloud, example(cloud))


def record(cloud: str, config: SiteConfig, *, preview: bool = False) -> Recording:
    """The program of any configuration."""
    importlib.import_module(f"infra.programs.{cloud}")
    return run(lambda: provision(SITES[cloud], config), SITES[cloud], preview=preview)
