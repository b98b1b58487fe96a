"""The newest numbers at ``http://127.0.0.1:PORT/metrics``, for Prometheus to scrape."""

import re
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from lorafleet.contracts.metrics import TRAINER, TRAINER_PREFIX
from trainer.loggers.base import RunFacts

_HELP = {metric.name: metric.help for metric in TRAINER}


class PrometheusLogger:
    """See :class:`~trainer.loggers.base.Logger`. Listens on loopback only; ``port`` is the one in use."""

    def __init__(self) -> None:
        self.port = 0
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}

    def start(self, run: RunFacts) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._run_name = run.name
        self._server, self._thread = start_http_server(run.config.prometheus_port, addr="127.0.0.1", registry=self._registry)
        self.port = self._server.server_port
        (run.directory / "prometheus-port").write_text(f"{self.port}\n", encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        for name, value in {"step": float(step), **values}.items():
            if name not in self._gauges:
                metric = TRAINER_PREFIX + re.sub(r"[^a-zA-Z0-9_]", "_", name)
                self._gauges[name] = Gauge(metric, _HELP.get(metric, name), ["run"], registry=self._registry)
            self._gauges[name].labels(self._run_name).set(value)

    def image(self, step: int, name: str, path: Path) -> None:
        """Nothing: Prometheus holds numbers."""

    def text(self, step: int, name: str, text: str) -> None:
        """Nothing: Prometheus holds numbers."""

    def finish(self, ended: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
