"""Asking Prometheus: ``GET /api/v1/query`` of its HTTP API, where values are text and may be NaN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from lorafleet.contracts.problems import UnavailableError

TIMEOUT = 2.0
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Sample:
    """One series' value now."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A server by its base address, such as ``http://prometheus:9090``."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout, follow_redirects=False)

    def query(self, promql: str) -> Sequence[Sample]:
        """The value of an instant query now, one for each series.

        Raises:
            UnavailableError: no answer, or one that is no number.
        """
        try:
            response = self._client.post("/api/v1/query", data={"query": promql})
            content = response.json() if len(response.content) <= _MOST_BYTES else {}
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(f"Prometheus does not answer: {type(error).__name__}") from None
        if not isinstance(content, dict) or content.get("status") != "success":
            what = content.get("error") if isinstance(content, dict) else None
            raise UnavailableError(f"Prometheus refuses the query: {what or response.status_code}", hint="check it on its own page")
        try:
            return _samples(content["data"])
        except (IndexError, KeyError, TypeError, ValueError):
            raise UnavailableError("Prometheus gives no number", hint="a query gives a scalar or an instant vector") from None

    def close(self) -> None:
        """End its connections."""
        self._client.close()


def _samples(data: Mapping[str, Any]) -> list[Sample]:
    if data["resultType"] == "scalar":
        return [Sample({}, float(data["result"][1]))]
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    return [Sample(dict(each["metric"]), float(each["value"][1])) for each in data["result"]]
