"""Gate's contract with a real Orca behind it: what is saved here is what Orca's Front50 holds, and what is started here, Orca runs."""

from collections.abc import Mapping
from typing import Any

from tests.engines.orca.engine import OrcaEngine
from tests.fake_gate.gate import Call, FakeGate, Json


class OrcaGate(FakeGate):
    """Use as a context manager, as :class:`FakeGate`."""

    def __init__(self, orca: OrcaEngine) -> None:
        super().__init__()
        self._orca = orca
        self.first_snapshot = self._start

    def put(self, pipeline: Mapping[str, Any], by: str = "ci") -> Json:
        """See FakeGate."""
        stored = super().put(pipeline, by)
        self._orca.front50.save(stored)
        return stored

    def handle(self, call: Call) -> tuple[int, Any]:
        """See FakeGate."""
        parts = call.path.strip("/").split("/")
        if call.method == "GET" and parts[0] == "pipelines" and len(parts) == 2 and parts[1] in self.executions:
            return 200, self._orca.get(self.executions[parts[1]][0]["orca"])
        return super().handle(call)

    def _start(self, start: Json) -> list[Json]:
        pipeline = self.named(start["name"], start["application"])
        return [{**start, "orca": self._orca.submit(pipeline, start["trigger"]["parameters"])}]
