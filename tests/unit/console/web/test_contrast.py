"""Text and what it stands on differ enough in both modes (WCAG 2.2 AA), computed from the style sheet's own tokens."""

import re

import pytest

from lorafleet.console.web.rendering import STATIC

TEXT_PAIRS = [
    *((ink, ground) for ink in ("ink", "quiet", "accent", "accent-hover", "bad", "good") for ground in ("ground", "surface")),
    ("ink", "sunken"), ("quiet", "sunken"), ("accent", "accent-soft"), ("accent-ink", "accent"), ("accent-ink", "accent-hover"),
    *((tone, f"{tone}-soft") for tone in ("good", "warn", "bad", "live")), *(("ink", f"{tone}-soft") for tone in ("accent", "warn", "bad")),
]  # fmt: skip
SHAPE_PAIRS = [
    (shape, "surface") for shape in ("line-strong", "accent", "good", "warn", "bad", *(f"site-{number}" for number in range(6)))
]


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))


def modes() -> dict[str, dict[str, str]]:
    css = (STATIC / "console.css").read_text(encoding="utf-8")
    light = css[css.index(":root {") : css.index("}")]
    dark = css[css.index('[data-theme="dark"] {') :].partition("}")[0]
    system = css[css.index('[data-theme="auto"] {') :].partition("}")[0]
    assert tokens(dark) == tokens(system)
    return {"light": tokens(light), "dark": tokens(dark)}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_is_readable(mode: str) -> None:
    found = modes()[mode]
    for ink, ground in TEXT_PAIRS:
        assert contrast(found[ink], found[ground]) >= 4.5, f"{ink} on {ground}"


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_shapes_that_mean_something_are_seen(mode: str) -> None:
    found = modes()[mode]
    for shape, ground in SHAPE_PAIRS:
        assert contrast(found[shape], found[ground]) >= 3, f"{shape} on {ground}"


def test_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
