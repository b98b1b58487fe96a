"""Running preflight checks in the background, so that a stage can poll them."""

import asyncio
from collections import OrderedDict
from typing import Protocol

from lorafleet.contracts.release_api import ReleaseView, StageAnswer, StageStatus

_MOST_KEPT = 1000


class PreflightChecks(Protocol):
    """What is asked before a release gets its first request. An answer is a pass or a fail, with the reason in one line."""

    async def everywhere(self, view: ReleaseView) -> StageAnswer:
        """What holds for all sites: the signature, and the image in the registries."""
        ...

    async def site(self, view: ReleaseView, site: str) -> StageAnswer:
        """One site: reachable, the image in its registry, the driver, room for the new workers."""
        ...


class Preflights:
    """Checks under way and their last answers. Another console's checks are not seen here; asking starts them here too."""

    def __init__(self, checks: PreflightChecks) -> None:
        self._checks = checks
        self._tasks: OrderedDict[tuple[str, str | None], asyncio.Task[StageAnswer]] = OrderedDict()

    def answer(self, view: ReleaseView, site: str | None, *, anew: bool = False) -> StageAnswer:
        """How the checks of a release in a site (None: in all) stand; they are started where they are not under way.

        Raises:
            Exception: whatever ended the checks; the next question starts them again.
        """
        key = (view.id, site)
        task = self._tasks.get(key)
        if task is None or (anew and task.done()):
            check = self._checks.everywhere(view) if site is None else self._checks.site(view, site)
            task = self._tasks[key] = asyncio.create_task(check)
            if len(self._tasks) > _MOST_KEPT:
                self._tasks.popitem(last=False)
        if not task.done():
            return StageAnswer(status=StageStatus.RUNNING, detail="checking")
        if task.cancelled() or task.exception() is not None:
            del self._tasks[key]
        return task.result()
