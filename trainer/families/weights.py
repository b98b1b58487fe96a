"""Filling a model from ``.safetensors`` files so that every parameter comes from a file, in the wanted type, without a second copy.

The peers' loaders only warn about parameters that the file lacks; those keep random values and train "fine".
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from lorafleet.contracts.problems import Problem
from trainer.families.detect import tensor_shapes
from trainer.families.ldm_keys import FileTensor, Part

_THIRDS = (Part.QUERY, Part.KEY, Part.VALUE)
_SHOWN = 3
_OWN_CONFIG = "set base_config to a folder with this model's own configs"


class WeightFiles:
    """The tensors of one or more files, by name.

    Raises:
        NoInputError: a file is missing, damaged or unreadable.
        ConfigError: a file is a pickle.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._file_of: dict[str, Path] = {}
        for file in files:
            shapes = tensor_shapes(file)
            self.shapes |= shapes
            self._file_of |= dict.fromkeys(shapes, file)

    def fill(self, module: nn.Module, wanted: Mapping[str, FileTensor], dtype: torch.dtype) -> None:
        """Give every parameter of ``module`` its tensor. ``wanted`` must have passed :func:`find_problem`."""
        shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
        state: dict[str, Tensor] = {}
        for file in self.files:
            with safe_open(file, framework="pt") as opened:
                for name, place in wanted.items():
                    if self._file_of[place.key] == file:
                        tensor = _read(opened, place, self.shapes[place.key]).reshape(shapes[name])
                        # A copy: what safetensors hands out is the mapped file.
                        state[name] = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
        module.load_state_dict(state, strict=True, assign=True)


def find_problem(
    component: str,
    module: nn.Module,
    wanted: Mapping[str, FileTensor],
    shapes: Mapping[str, tuple[int, ...]],
    unexpected: Iterable[str] = (),
    where: str = "",
) -> Problem | None:
    """Why the component cannot be filled: tensors that are missing, of another size, or that its config does not know."""
    everything = {place.key for place in wanted.values()}
    absent = sorted(everything - set(shapes))
    if len(absent) == len(everything):
        return Problem(f"it holds no {component}", where, "take a complete model: UNet, VAE and text encoders")
    sizes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    misfits = [
        f"{place.key} is {_words(found)}, the config says {_words(sizes[name])}"
        for name, place in wanted.items()
        if place.key in shapes and not _fits(found := _part_shape(shapes[place.key], place), sizes[name])
    ]
    if misfits:
        return Problem(f"the {component} has other sizes than its config: {_first(misfits, 1)}", where, _OWN_CONFIG)
    if absent:
        return Problem(
            f"the {component} lacks {len(absent)} of {len(everything)} tensors: {_first(absent)}",
            where,
            "the file is incomplete, or its architecture differs from the config: see base_config",
        )
    strange = sorted(unexpected)
    if strange:
        return Problem(
            f"the {component} has {len(strange)} tensors that its config does not know: {_first(strange)}", where, _OWN_CONFIG
        )
    return None


def _read(opened: Any, place: FileTensor, shape: tuple[int, ...]) -> Tensor:
    if place.part is Part.WHOLE:
        tensor: Tensor = opened.get_tensor(place.key)
    else:
        rows = shape[0] // len(_THIRDS)
        start = _THIRDS.index(place.part) * rows
        tensor = opened.get_slice(place.key)[start : start + rows]
    return tensor.t() if place.transposed else tensor


def _part_shape(shape: tuple[int, ...], place: FileTensor) -> tuple[int, ...]:
    if place.part is not Part.WHOLE:
        return (shape[0] // len(_THIRDS), *shape[1:])
    return shape[::-1] if place.transposed else shape


def _fits(found: tuple[int, ...], needed: tuple[int, ...]) -> bool:
    # The same projection is a 1x1 convolution in one writer's file and a linear layer in another's.
    return _without_ones(found) == _without_ones(needed)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _words(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _first(items: Sequence[str], count: int = _SHOWN) -> str:
    more = f" and {len(items) - count} more" if len(items) > count else ""
    return ", ".join(items[:count]) + more
