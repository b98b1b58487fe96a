"""The resources that a program declares, without an engine and without a cloud."""

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.stack import run_pulumi_func


@dataclass(frozen=True)
class Resource:
    """One custom resource; ``inputs`` have their names on the wire, and what only the cloud knows is unknown."""

    type: str
    name: str
    inputs: dict[str, Any]


class _NothingKnown(mocks.Mocks):
    """A first preview: nothing is there yet."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return "", {}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        return {}, []


class _Listening(mocks.MockMonitor):
    def __init__(self, found: list[Resource]) -> None:
        super().__init__(_NothingKnown())
        self._found = found

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (as the SDK calls it)
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.custom:
            self._found.append(Resource(request.type, request.name, rpc.deserialize_properties(request.object, keep_unknowns=True)))
        return answer


def record(program: Callable[[], None], stack: str) -> tuple[Resource, ...]:
    """Run a program as in a first preview and keep what it declares, in the order of type and name.

    Raises whatever the program raises.
    """
    found: list[Resource] = []

    def isolated() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        settings.reset_options()
        mocks.set_mocks(_NothingKnown(), project="lorafleet", stack=stack, preview=True, monitor=_Listening(found))

        async def body() -> None:
            program()

        try:
            loop.run_until_complete(run_pulumi_func(body))
        finally:
            loop.close()
            asyncio.set_event_loop(None)

    contextvars.copy_context().run(isolated)
    return tuple(sorted(found, key=lambda each: (each.type, each.name)))
