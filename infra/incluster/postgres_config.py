"""The configuration of the home's PostgreSQL and of its standby in another site: the key ``postgres`` of an in-cluster stack."""

from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.image import DIGEST

_WIDEST = 8


def _named_network(given: str) -> str:
    try:
        network = IPv4Network(given)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise ValueError(f"'{given}' is no IPv4 range: write it like 203.0.113.7/32") from None
    if "/" not in given or network.prefixlen < _WIDEST:
        raise ValueError(f"'{given}' is wider than any site: name the addresses that the other site's pods come from")
    return given


def _some(given: tuple[str, ...]) -> tuple[str, ...]:
    if not given:
        raise ValueError("name one network at least")
    return given


Networks = Annotated[tuple[Annotated[str, AfterValidator(_named_network)], ...], AfterValidator(_some)]
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
PinnedImage = Annotated[str, StringConstraints(pattern=rf"^\S+@{DIGEST}$", max_length=400)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresHome(_Part):
    """The home that a standby follows; its certificate has to name ``host``. ``networks`` are where the host's addresses lie."""

    host: Host
    port: int = Field(default=5432, ge=1, le=65535, strict=True)
    networks: Networks = Field(description="What the standby's pod may reach, beside DNS.")


class PostgresExposed(_Part):
    """How the other site reaches this server. Only what ``allow`` names comes in, at the load balancer and at the pod."""

    allow: Networks = Field(description="Where the other site's nodes or NAT come from.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Of the Service, such as the cloud's kind of balancer.")


class PostgresConfig(_Part):
    """One PostgreSQL of the pair. Its Secrets are made by hand and never stand in a stack's state.

    ``passwords`` has the keys ``console`` and ``replication``, ``certificate`` has ``tls.crt``, ``tls.key`` and ``ca.crt``: the
    authorities of both sites' certificates. ``role`` says what an empty volume becomes; what it holds already wins.
    """

    role: Literal["home", "standby"]
    image: PinnedImage = Field(description="The Debian variant of the official image, version 15 or newer, by digest.")
    storage_class: Id | None = Field(
        default=None,
        description="Default: the cloud's encrypted disks, kept when their claim goes; the default class of a cluster of one's own.",
    )
    storage_gib: int = Field(default=50, ge=10, le=16000, strict=True, description="Room for the data twice: see clone-again.")
    passwords: Id = Field(default="postgres-passwords", description="The name of the Secret of passwords.")
    certificate: Id = Field(default="postgres-tls", description="The name of the Secret of the certificate.")
    home: PostgresHome | None = None
    exposed: PostgresExposed | None = None
    dumps_kept: int = Field(default=14, ge=1, le=365, strict=True, description="Nightly dumps of the database.")
    dumps_gib: int = Field(default=50, ge=10, le=16000, strict=True)

    @model_validator(mode="after")
    def _a_standby_follows(self) -> Self:
        if self.role == "standby" and self.home is None:
            raise ValueError("a standby needs the key 'home': the host that it follows")
        if self.role == "home" and self.home is not None:
            raise ValueError("a home follows nobody: remove the key 'home', or make the role 'standby'")
        return self
