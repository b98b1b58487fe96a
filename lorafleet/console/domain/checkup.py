"""Judging a console's set-up from facts about it: what would be lost, open or slow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from lorafleet.contracts.checkup import CheckResult, Checkup, SetupCheck

_SKEW = timedelta(seconds=2)


class Signing(StrEnum):
    """What becomes of a release at its preflight: ``no_key``: it fails, as nothing can be checked."""

    REQUIRED = "required"
    NOT_CHECKED = "not checked"
    NO_KEY = "no key"


@dataclass(frozen=True)
class SiteFacts:
    """A site: its store's name, and how many workers were heard of lately."""

    name: str
    store: str
    workers: int


@dataclass(frozen=True)
class SetupFacts:
    """A console as it is. ``stores`` says by name what is wrong with each, empty where it answers; ``skew`` is against the database.

    ``provider`` and ``prometheus`` say the same of what people log in with and of what named conditions are asked of, None: there is none.
    ``signing`` is None where the console knows no site to release to.
    """

    postgres: bool
    replicas: int
    loopback: bool
    https: bool
    authenticated: bool
    database: str
    skew: timedelta
    stores: Mapping[str, str]
    sites: Sequence[SiteFacts]
    prometheus: str | None
    provider: str | None = None
    unreadable_secrets: int = 0
    signing: Signing | None = None

    @property
    def kind(self) -> str:
        """One process on loopback is a laptop, one console elsewhere a server, PostgreSQL with several consoles a cluster."""
        if self.loopback and not self.postgres:
            return "laptop"
        return "cluster" if self.replicas > 1 else "server"


def judge(facts: SetupFacts) -> Checkup:
    """Every check, in the order in which things are set up."""
    return Checkup(kind=facts.kind, checks=tuple(_checks(facts)))


def _checks(facts: SetupFacts) -> Iterator[SetupCheck]:
    engine = "PostgreSQL" if facts.postgres else "SQLite"
    if facts.database:
        yield _check("database", CheckResult.FAIL, f"{engine}: {facts.database}", "start it, or mend --database")
    else:
        yield _check("database", CheckResult.OK, f"{engine} answers")
    if facts.kind == "server" and not facts.postgres:
        yield _check(
            "standby",
            CheckResult.WARN,
            "SQLite lies on this machine's disk only",
            "back the folder up, or use PostgreSQL with a standby",
        )
    if abs(facts.skew) > _SKEW:
        seconds = f"{facts.skew.total_seconds():+.1f} s"
        yield _check(
            "clock", CheckResult.WARN, f"{seconds} against the database", "run NTP on both; leases go by the database's clock"
        )
    else:
        yield _check("clock", CheckResult.OK, "agrees with the database")
    yield from _access(facts)
    yield from _stores(facts)
    yield from _sites(facts)
    yield from _signatures(facts)
    if facts.prometheus is not None:
        bad = bool(facts.prometheus)
        found = facts.prometheus or "answers"
        hint = "conditions that name a query of yours cannot be judged without it" if bad else ""
        yield _check("prometheus", CheckResult.FAIL if bad else CheckResult.OK, found, hint)


def _access(facts: SetupFacts) -> Iterator[SetupCheck]:
    if not facts.authenticated:
        yield _check("access", CheckResult.WARN, "everybody on this machine is the administrator", "leave --no-auth out")
    else:
        yield _check("access", CheckResult.OK, "by token")
    if facts.provider is not None:
        hint = "mend --oidc or the provider; tokens stay good meanwhile" if facts.provider else ""
        yield _check("provider", CheckResult.FAIL if facts.provider else CheckResult.OK, facts.provider or "answers", hint)
    if facts.unreadable_secrets:
        yield _check(
            "secrets",
            CheckResult.FAIL,
            f"{facts.unreadable_secrets} of the teams' secrets cannot be decrypted, and jobs of those teams fail",
            "start once with the old LORAFLEET_SECRET as LORAFLEET_PREVIOUS_SECRET, or have them set anew",
        )
    if facts.loopback:
        yield _check("address", CheckResult.OK, "loopback only: workers elsewhere cannot reach it")
    elif facts.https:
        yield _check("address", CheckResult.OK, "https")
    else:
        yield _check("address", CheckResult.FAIL, "plain http off loopback", "put TLS in front and set --public-url")


def _stores(facts: SetupFacts) -> Iterator[SetupCheck]:
    for name, trouble in facts.stores.items():
        if trouble:
            yield _check(f"store {name}", CheckResult.FAIL, trouble, "the others are used meanwhile; mend it, and copies come back")
        else:
            yield _check(f"store {name}", CheckResult.OK, "answers")
    living = sum(not trouble for trouble in facts.stores.values())
    if living < 2:
        yield _check(
            "two copies",
            CheckResult.FAIL,
            f"{living} store answers, and published means in two",
            "add a --site with a store, or a backup",
        )
    elif living == 2:
        yield _check("two copies", CheckResult.WARN, "two stores: with one away nothing is published", "add a third store or site")
    else:
        yield _check("two copies", CheckResult.OK, f"{living} stores answer")


def _sites(facts: SetupFacts) -> Iterator[SetupCheck]:
    for site in facts.sites:
        if site.workers:
            yield _check(
                f"site {site.name}",
                CheckResult.OK,
                f"{site.workers} {'worker' if site.workers == 1 else 'workers'} heard of lately",
            )
        else:
            yield _check(
                f"site {site.name}", CheckResult.WARN, "no worker was heard of lately",
                "start one: lorafleet worker --help; in a cluster workers come with the first job",
            )  # fmt: skip


def _signatures(facts: SetupFacts) -> Iterator[SetupCheck]:
    hint = "give --signing-key cosign.pub"
    match facts.signing:
        case Signing.REQUIRED:
            yield _check("signatures", CheckResult.OK, "releases must be signed")
        case Signing.NOT_CHECKED:
            yield _check("signatures", CheckResult.WARN, "releases of unsigned images pass", hint)
        case Signing.NO_KEY:
            yield _check("signatures", CheckResult.WARN, "there is no key to check by, so that every release fails", hint)


def _check(name: str, result: CheckResult, found: str, hint: str = "") -> SetupCheck:
    return SetupCheck(name=name, result=result, found=found, hint=hint)
