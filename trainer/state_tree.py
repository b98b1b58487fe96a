"""Nested state (such as an optimizer's) as safetensors plus JSON: nothing that could run code when it is read."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def split(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A JSON-able tree and the tensors that were in it.

    Raises:
        TypeError: the tree holds something that is neither a tensor nor plain data.
    """
    tensors: dict[str, Tensor] = {}
    return _split(tree, "", tensors), tensors


def _split(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        tensors[path] = node
        return {"$tensor": path}
    if isinstance(node, Mapping):
        # Pairs instead of an object: JSON would turn an optimizer's integer keys into strings.
        return {"$items": [[key, _split(value, f"{path}/{key}", tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        parts = [_split(value, f"{path}/{index}", tensors) for index, value in enumerate(node)]
        return {"$tuple": parts} if isinstance(node, tuple) else parts
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"state at '{path}' is a {type(node).__name__}; only tensors, numbers, texts, lists and mappings can be saved")


def join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`split`."""
    if isinstance(tree, Mapping):
        if "$tensor" in tree:
            return tensors[tree["$tensor"]]
        if "$tuple" in tree:
            return tuple(join(part, tensors) for part in tree["$tuple"])
        return {key: join(value, tensors) for key, value in tree["$items"]}
    if isinstance(tree, list):
        return [join(part, tensors) for part in tree]
    return tree


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CPU copies that later updates do not touch; the device is waited for once, not per tensor."""
    copies = {
        name: torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    for name, tensor in tensors.items():
        copies[name].copy_(tensor.detach(), non_blocking=tensor.is_cuda)
    if any(tensor.is_cuda for tensor in tensors.values()):
        torch.cuda.current_stream().synchronize()
    return copies
