"""Images and captions as rows for a diffusion model."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorafleet.datasets.buckets import Bucket, crop_plan
from lorafleet.datasets.images import ImageSample, open_rgb
from trainer.augmentations import Augmenter
from trainer.families.base import MicroBatch, RowRef
from trainer.side_threads import compute_alone

# Changes when decoding, cropping or scaling change: cached latents of another version are not used.
TRANSFORM_VERSION = "1"


@dataclass(frozen=True)
class Example:
    """An image with the bucket that it is trained in and its full caption (trigger word included)."""

    sample: ImageSample
    bucket: Bucket
    caption: str

    @property
    def time_ids(self) -> tuple[float, ...]:
        """SDXL's sizes: original (height, width), crop (top, left), target (height, width)."""
        plan = crop_plan(self.sample.width, self.sample.height, self.bucket)
        return tuple(
            float(value)
            for value in (self.sample.height, self.sample.width, plan.top, plan.left, self.bucket.height, self.bucket.width)
        )


def pixels(example: Example, augmenter: Augmenter, variant: int) -> Tensor:
    """The image as trained: (3, height, width), fp32 in -1 … 1."""
    plan = crop_plan(example.sample.width, example.sample.height, example.bucket)
    image = open_rgb(example.sample.path)
    if image.size != (plan.resize_width, plan.resize_height):
        image = image.resize((plan.resize_width, plan.resize_height), Image.Resampling.LANCZOS)
    image = image.crop((plan.left, plan.top, plan.left + example.bucket.width, plan.top + example.bucket.height))
    array = np.asarray(augmenter.apply(image, variant), dtype=np.float32)
    return torch.from_numpy(array / 127.5 - 1.0).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class Draws:
    """What is random about one row: the variant, whether its caption is dropped, the timestep, and unit normal noises."""

    variant: int
    drop_caption: bool
    timestep: int
    posterior: Tensor
    noise: Tensor


def draw(
    seed: int, shape: tuple[int, int, int], variants: int, caption_dropout: float, timesteps: int, noise_offset: float
) -> Draws:
    """Draw a row's randomness from its seed; ``shape`` is (channels, height, width) of the latents."""
    generator = torch.Generator().manual_seed(seed)
    variant = int(torch.randint(variants, (), generator=generator))
    dropped = bool(torch.rand((), generator=generator) < caption_dropout)
    timestep = int(torch.randint(timesteps, (), generator=generator))
    posterior, noise = torch.randn((2, *shape), generator=generator)
    if noise_offset:
        noise = noise + noise_offset * torch.randn((shape[0], 1, 1), generator=generator)
    return Draws(variant, dropped, timestep, posterior, noise)


class ImageRows:
    """An :class:`~trainer.families.base.EncodedSet` of images.

    ``image_part`` gives a row's image tensors (cached moments, or pixels), ``text_part`` those of a caption (cached states, or ids).
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        image_part: Callable[[Example, int], Mapping[str, Tensor]],
        text_part: Callable[[str], Mapping[str, Tensor]],
        variants: int,
        caption_dropout: float,
        timesteps: int,
        noise_offset: float,
        latent_channels: int,
        latent_stride: int,
        sizes: bool,
        threads: int,
    ) -> None:
        self._examples = examples
        self._image_part = image_part
        self._text_part = text_part
        self._variants = variants
        self._caption_dropout = caption_dropout
        self._timesteps = timesteps
        self._noise_offset = noise_offset
        self._channels = latent_channels
        self._stride = latent_stride
        self._sizes = sizes
        self._pool = ThreadPoolExecutor(threads, initializer=compute_alone) if threads > 1 else None

    def __len__(self) -> int:
        return len(self._examples)

    def shape_key(self, index: int) -> Hashable:
        """The bucket."""
        return self._examples[index].bucket

    def weight(self, index: int) -> int:
        """Every image counts once."""
        return 1

    def collate(self, refs: Sequence[RowRef]) -> MicroBatch:
        """See :class:`~trainer.families.base.EncodedSet`."""
        rows = list(self._pool.map(self._row, refs)) if self._pool and len(refs) > 1 else [self._row(ref) for ref in refs]
        tensors = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return MicroBatch(tensors, (1,) * len(rows), tuple(self._examples[ref.index].sample.name for ref in refs))

    def _row(self, ref: RowRef) -> dict[str, Tensor]:
        example = self._examples[ref.index]
        shape = (self._channels, example.bucket.height // self._stride, example.bucket.width // self._stride)
        draws = draw(ref.seed, shape, self._variants, self._caption_dropout, self._timesteps, self._noise_offset)
        row = {
            "posterior": draws.posterior,
            "noise": draws.noise,
            "timestep": torch.tensor(draws.timestep),
            **self._image_part(example, draws.variant),
            **self._text_part("" if draws.drop_caption else example.caption),
        }
        if self._sizes:
            row["time_ids"] = torch.tensor(example.time_ids)
        return row
