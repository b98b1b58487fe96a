"""A stand-in for the part of Echo that starts a pipeline when another one ends."""

import logging
import threading
from typing import Any

from tests.engines.orca.engine import ENDED, Execution, OrcaEngine

_log = logging.getLogger(__name__)

_EVERY = 0.5
_WORDS = {"SUCCEEDED": "successful", "CANCELED": "canceled"}


class Echo:
    """Looks for ended executions of the applications that Front50 knows, and starts what has a trigger on them, once each.

    Executions that had ended before it was made start nothing.
    """

    def __init__(self, orca: OrcaEngine) -> None:
        self._orca = orca
        self._seen = {execution["id"] for execution in self._ended()}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY):
            try:
                for execution in self._ended():
                    if execution["id"] not in self._seen:
                        self._start(execution)
                        self._seen.add(execution["id"])
            except Exception as error:  # noqa: BLE001  (a thread that ends here would start no rollback for any trial any more)
                _log.warning("Orca does not answer, or is being restarted: %r", error)

    def _ended(self) -> list[Execution]:
        applications = {each["application"] for each in self._orca.front50.pipelines.values()}
        return [each for name in applications for each in self._orca.list(name) if each["status"] in ENDED]

    def _start(self, parent: Execution) -> None:
        for pipeline in list(self._orca.front50.pipelines.values()):
            for trigger in pipeline.get("triggers") or []:
                if trigger.get("enabled", True) and not pipeline.get("disabled") and _matches(trigger, parent):
                    self._orca.submit(
                        pipeline, type="pipeline", parentExecution=parent, parentPipelineId=parent["pipelineConfigId"]
                    )


def _matches(trigger: dict[str, Any], parent: Execution) -> bool:
    return (
        trigger.get("type") == "pipeline"
        and trigger.get("application") == parent["application"]
        and trigger.get("pipeline") == parent.get("pipelineConfigId")
        and _WORDS.get(parent["status"], "failed") in trigger.get("status", [])
    )
