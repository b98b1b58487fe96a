"""Real photographs with captions, from what is installed: nothing is downloaded."""

import csv
from pathlib import Path

from lorafleet.contracts.problems import UnavailableError

# Photographs that scikit-image's wheel carries, free to use (public domain or CC0), with captions written for them.
PHOTOGRAPHS = {
    "astronaut": "a portrait of an astronaut in an orange suit in front of a flag and a shuttle model",
    "cat": "a tabby cat looking to the side, close up",
    "coffee": "a cup of black coffee on a saucer with a spoon on a wooden table",
    "rocket": "a rocket on its launch pad at dusk",
    "hubble_deep_field": "thousands of distant galaxies in the black of space",
    "retina": "the retina of an eye with fine red vessels",
    "camera": "a black and white photograph of a man behind a camera on a tripod",
    "brick": "a wall of rough grey bricks",
    "grass": "a lawn seen from above, blades of grass in every direction",
    "gravel": "gravel on the ground, stones of many sizes",
}
SIZE = 512


def check_installed() -> None:
    """See that the photographs are there.

    Raises:
        UnavailableError: they are not.
    """
    try:
        import skimage.data  # noqa: F401
    except ImportError:
        raise UnavailableError(
            "the demo's photographs are in scikit-image, which is not installed", hint="pip install 'lorafleet[demo]'"
        ) from None


def write_photographs(folder: Path) -> Path:
    """Write the photographs as PNG files of at most :data:`SIZE` pixels, with a metadata.csv."""
    import numpy as np
    import skimage.data
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file_name", "text"))
        for name, caption in PHOTOGRAPHS.items():
            image = Image.fromarray(np.asarray(getattr(skimage.data, name)())).convert("RGB")
            image.thumbnail((SIZE * 2, SIZE * 2))
            image.save(folder / f"{name}.png")
            writer.writerow((f"{name}.png", caption))
    return folder
