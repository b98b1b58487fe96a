"""Whether an image may be released: its digest, and the proof that every site needs, before anything is started."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.image import ImageReference, parse_image
from lorafleet.contracts.problems import ConfigError, LorafleetError, Problem, UsageError
from lorafleet.contracts.site import Site
from lorafleet.image.daemons import Daemons
from lorafleet.image.verifying import Proof, prove
from lorafleet.registry.errors import NotHeld, Unreachable
from lorafleet.registry.repository import Registries
from lorafleet.registry.signatures import PublicKey


class NotReady(LorafleetError):
    """The image cannot be released yet; each reason is a line."""


@dataclass(frozen=True)
class Checked:
    """What one place was found to hold. ``proof`` is None where ``problem`` says why."""

    place: ImageReference
    proof: Proof | None
    problem: Problem | None = None
    away: bool = False


def resolve(registries: Registries, text: str) -> ImageReference:
    """The image by its digest; a tag is looked up once, and forgotten.

    Raises:
        UsageError: the text is no image, or names neither tag nor digest.
        NotHeld: the registry has no such tag.
    """
    try:
        image = parse_image(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not image.registry:
        raise UsageError(f"'{image}' names no registry", hint="write it as registry.example.org/team/lora-trainer@sha256:…")
    if image.digest:
        return image.pinned(image.digest)
    if not image.tag:
        raise UsageError(f"'{image}' names neither digest nor tag", hint="lorafleet image build --push prints the digest")
    found = registries.repository(image).find(image.tag)
    if found is None:
        raise NotHeld("there is no such tag", where=str(image), hint="lorafleet image build --push makes one")
    return image.pinned(found.digest)


def check_name(spec: FleetSpec, image: ImageReference) -> None:
    """See that this is the image that the fleet's pipelines name.

    Raises:
        ConfigError: it is another one.
    """
    if spec.image.name != image.name:
        raise ConfigError(
            f"the fleet releases '{spec.image.name}', and this is '{image.name}'", where=str(image), hint="see image in fleet.yaml"
        )


def check_places(
    registries: Registries,
    image: ImageReference,
    spec: FleetSpec,
    sites: Mapping[str, Site],
    keys: Sequence[PublicKey],
    tell: Callable[[Checked], None],
) -> None:
    """Verify the image where it was pushed to and in the registry of every site that gets it; all are asked at once.

    A registry that does not answer stops nothing as long as the release's quorum of sites has the image: the release leaves that
    site out, too.

    Raises:
        NotReady: a registry lacks the image or its signature, or too few of them answer.
    """
    released = [sites[cluster.site] for cluster in spec.release.clusters]
    places = list(dict.fromkeys([image, *(image.copied_to(site.registry) for site in released)]))
    with Daemons(len(places)) as pool:
        found = list(pool.map(lambda place: _check(registries, place, keys), places))
    for checked in found:
        tell(checked)
    wrong = [checked.problem for checked in found if checked.problem and not checked.away]
    if wrong:
        raise NotReady(wrong)
    good = {checked.place for checked in found if checked.proof}
    there = sum(image.copied_to(site.registry) in good for site in released)
    if there < spec.release.quorum:
        away = [checked.problem for checked in found if checked.problem]
        raise NotReady(
            [
                *away,
                Problem(
                    f"{there} of {len(released)} sites can get the image, and the release needs {spec.release.quorum}",
                    hint="try again once they answer",
                ),
            ]
        )


def _check(registries: Registries, place: ImageReference, keys: Sequence[PublicKey]) -> Checked:
    try:
        return Checked(place, prove(registries.repository(place), place.digest, keys))
    except NotHeld as error:
        return Checked(place, None, replace(error.problems[0], hint="lorafleet image mirror copies it there"))
    except LorafleetError as error:
        return Checked(place, None, error.problems[0], away=isinstance(error, Unreachable))
