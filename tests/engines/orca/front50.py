"""A stand-in for Front50: it keeps pipelines in memory and says what Orca asks it."""

import threading
from collections.abc import Mapping
from typing import Any

from tests.engines.orca.http_server import Answer, JsonServer

Pipeline = dict[str, Any]


class Front50:
    """``pipelines`` by id. Orca reads them here: for its ``pipeline`` stage, for limits on concurrent executions, and to start those
    whose trigger is another one's end."""

    def __init__(self) -> None:
        self.pipelines: dict[str, Pipeline] = {}
        self._lock = threading.Lock()
        self._server = JsonServer(self._handle)
        self.url = self._server.url

    def save(self, pipeline: Mapping[str, Any]) -> None:
        """Keep a pipeline under its id."""
        with self._lock:
            self.pipelines[pipeline["id"]] = dict(pipeline)

    def close(self) -> None:
        self._server.close()

    def _handle(self, method: str, path: list[str], _query: Mapping[str, str], _body: Any) -> Answer:
        if method != "GET":
            return 405, {"error": "pipelines are saved by the test"}
        with self._lock:
            known = list(self.pipelines.values())
        match path:
            case ["pipelines", identifier, "get"]:
                found = [each for each in known if each["id"] == identifier]
                return (200, found[0]) if found else (404, {"error": "no such pipeline"})
            case ["pipelines"]:
                return 200, known
            case ["pipelines", "triggeredBy", identifier, status]:
                return 200, [each for each in known if _is_triggered(each, identifier, status)]
            case ["pipelines", application]:
                return 200, [each for each in known if each["application"] == application]
            case ["v2", "applications", name]:
                return 200, {"name": name, "email": "test@example.org"}
            case ["notifications", *_]:
                return 200, {}
            case ["v2", _] | ["strategies"] | ["pipelineTemplates"]:
                return 200, []
        return 404, {"error": "not found"}


def _is_triggered(pipeline: Pipeline, by: str, status: str) -> bool:
    return any(
        trigger["type"] == "pipeline" and trigger["enabled"] and trigger["pipeline"] == by and status in trigger["status"]
        for trigger in pipeline.get("triggers") or []
    )
