"""How one worker is set up."""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from lorafleet.contracts.image import DIGEST
from lorafleet.contracts.layout import ID
from lorafleet.contracts.problems import ConfigError, Problem
from trainer.worker import state_file
from trainer.worker.wire import check_url


@dataclass(frozen=True)
class WorkerSettings:
    """One worker. ``models`` is the root of base models, ``cache`` of encodings that runs share; times are in seconds.

    ``gpus`` of them, from ``device`` on, are offered to jobs.
    ``grace`` is the time between SIGTERM and the end, ``stall`` how long a training loop may give no sign of life, ``patience`` how
    long finished weights are offered to stores that do not take them, ``idle_exit`` the wait for a job after which the worker ends.
    """

    console: str
    site: str
    worker: str
    release: str
    credential_file: Path
    work: Path
    models: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    gpus: int = 1
    once: bool = False
    idle_exit: float | None = None
    grace: float = 25.0
    stall: float = 900.0
    patience: float = 3600.0
    poll_seconds: int = 10

    @property
    def state_file(self) -> Path:
        """What the probes read."""
        return self.work / state_file.NAME

    def check(self) -> "WorkerSettings":
        """The settings themselves.

        Raises:
            ConfigError: every value that is wrong, one line each.
        """
        problems = []
        for option, value in (("--site", self.site), ("--worker", self.worker)):
            if re.fullmatch(ID, value) is None:
                problems.append(Problem(f"{value!r} is no id", option, "use 1 to 63 small letters, digits and hyphens"))
        if re.fullmatch(DIGEST, self.release) is None:
            problems.append(Problem(f"{self.release!r} is no digest", "--release", "give the image's sha256:…"))
        if self.device not in ("auto", "cpu") and re.fullmatch(r"cuda(:\d{1,2})?", self.device) is None:
            problems.append(Problem(f"'{self.device}' is no device", "--device", "use auto, cpu, cuda or cuda:N"))
        elif self.gpus > 1 and self.device not in ("auto", "cuda"):
            problems.append(Problem(f"{self.device} is one device", f"--gpus {self.gpus}", "leave --device out"))
        if self.models is not None and not self.models.is_dir():
            problems.append(Problem("there is no such folder", f"--models {self.models}", "mount it, or leave the option out"))
        if self.cache is not None:
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                problems.append(Problem(f"cannot be used: {error.strerror}", f"--cache {self.cache}", "mount it, or leave it out"))
        try:
            check_url(self.console)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return self

    def credential(self) -> SecretStr:
        """The site's enrolment credential, read anew each time: a rotated one takes effect without a restart.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        try:
            text = self.credential_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(
                f"the site's credential cannot be read: {reason}", where=str(self.credential_file), hint="--credential-file"
            ) from None
        if not text:
            raise ConfigError("the site's credential is empty", where=str(self.credential_file), hint="--credential-file")
        return SecretStr(text)
