"""The configured loggers as one, none of which can end a run."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from trainer.loggers.base import Logger, LoggerFactory, RunFacts
from trainer.registry import Registry

LOGGERS: Registry[LoggerFactory] = Registry(
    "loggers",
    {
        "jsonl": "trainer.loggers.jsonl:JsonLinesLogger",
        "tensorboard": "trainer.loggers.tensorboard:TensorBoardLogger",
        "wandb": "trainer.loggers.weights_and_biases:WandbLogger",
        "prometheus": "trainer.loggers.prometheus:PrometheusLogger",
    },
)


class LoggerGroup:
    """Tells every logger; one that fails is warned of once and left out."""

    def __init__(self, loggers: Mapping[str, Logger], warn: Callable[[str], None]) -> None:
        self._loggers = dict(loggers)
        self._warn = warn

    @classmethod
    def open(cls, run: RunFacts, warn: Callable[[str], None]) -> "LoggerGroup":
        """Make and start the configured loggers.

        Raises:
            ConfigError: one of them is unknown.
        """
        group = cls({name: LOGGERS.get(name)() for name in dict.fromkeys(run.config.loggers)}, warn)
        group._tell(lambda logger: logger.start(run))
        return group

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`Logger`."""
        self._tell(lambda logger: logger.scalars(step, values))

    def image(self, step: int, name: str, path: Path) -> None:
        """See :class:`Logger`."""
        self._tell(lambda logger: logger.image(step, name, path))

    def text(self, step: int, name: str, text: str) -> None:
        """See :class:`Logger`."""
        self._tell(lambda logger: logger.text(step, name, text))

    def close(self, ended: str) -> None:
        """Tell every logger how the run ended."""
        self._tell(lambda logger: logger.finish(ended))
        self._loggers.clear()

    def _tell(self, call: Callable[[Logger], None]) -> None:
        for name, logger in list(self._loggers.items()):
            try:
                call(logger)
            except Exception as error:  # noqa: BLE001  (a third party's failure must not cost hours of training)
                del self._loggers[name]
                self._warn(f"logger '{name}' failed and is left out from here: {error}")
                # It may hold a port, a file or a thread; that this fails too is to be expected.
                with suppress(Exception):
                    logger.finish("failed")
