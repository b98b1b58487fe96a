"""Where an image is copied to."""

from collections.abc import Sequence
from pathlib import Path

from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.problems import UsageError


def of_words(image: ImageReference, registries: Sequence[str]) -> list[ImageReference]:
    """The image in each of the named registries, such as ``123.dkr.ecr.eu-central-1.amazonaws.com/fleet``.

    Raises:
        UsageError: a word is no registry.
    """
    found = []
    for word in registries:
        try:
            place = image.copied_to(word.rstrip("/"))
        except ValueError:
            place = None
        if place is None or not place.registry:
            raise UsageError(f"'{word}' is no registry", hint="write it as registry.example.org/path, without https://")
        found.append(place)
    return _without_repeats(image, found)


def of_fleet(image: ImageReference, spec: Path, sites: Path | None) -> list[ImageReference]:
    """The image in the registry of each of the fleet's sites.

    Raises:
        NoInputError: the fleet's or a site's file is missing.
        ConfigError: a file is wrong.
    """
    from pipelines.spec_files import read_sites, read_spec

    fleet = read_spec(spec, image.digest)
    facts = read_sites(fleet, sites or spec.parent / "sites")
    return _without_repeats(image, [image.copied_to(site.registry) for site in facts.values()])


def _without_repeats(image: ImageReference, places: Sequence[ImageReference]) -> list[ImageReference]:
    others = list(dict.fromkeys(place for place in places if place != image))
    if not others:
        raise UsageError("the image lies in every one of these registries already", where=str(image))
    return others
