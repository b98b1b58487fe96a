"""Parameters of addresses that several modules have."""

from typing import Annotated

from fastapi import Path, Query

from lorafleet.contracts.console_api import PAGE_LIMIT
from lorafleet.contracts.layout import ID

_ID = rf"^{ID}$"

JobId = Annotated[str, Path(alias="job", pattern=_ID)]
DatasetId = Annotated[str, Path(alias="dataset", pattern=_ID)]
VersionId = Annotated[str, Path(alias="version", pattern=_ID)]
ReleaseId = Annotated[str, Path(alias="release_id", pattern=_ID)]
TeamName = Annotated[str, Path(alias="team", pattern=_ID)]
SiteName = Annotated[str, Path(alias="site", pattern=_ID)]
WatchId = Annotated[str, Path(alias="watch_id", pattern=_ID)]
TokenId = Annotated[str, Path(alias="token", pattern=r"^[A-Za-z0-9_-]{1,63}$")]
ObjectName = Annotated[str, Path(alias="name", min_length=1, max_length=700)]
Fence = Annotated[int, Path(alias="fence", ge=1, lt=2**63)]
Step = Annotated[int, Path(alias="step", ge=0, lt=2**63)]

After = Annotated[
    str | None, Query(pattern=r"^[!-~]{1,200}$", description="Where the page begins: what the page before gave as 'after'.")
]
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT)]
