"""Collectives that are also correct in a single process, so that callers need not ask for the world size."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    """Returns the rank of this process, 0 when not distributed."""
    return dist.get_rank() if _initialized() else 0


def world_size() -> int:
    """Returns the number of processes, 1 when not distributed."""
    return dist.get_world_size() if _initialized() else 1


def all_gather(x: Tensor) -> Tensor:
    """Concatenates the tensors of all ranks; it is differentiable.

    Args:
        x: Tensor (B, ...) on each rank, with the same shape on all.

    Returns:
        Tensor (world size * B, ...) in the order of the ranks. The gradient of ``x`` is the sum over all ranks.
    """
    return _AllGather.apply(x) if world_size() > 1 else x


def all_reduce_sum(x: Tensor) -> Tensor:
    """Returns the sum over all ranks; it is differentiable, and its gradient is the sum over all ranks too."""
    return _AllReduceSum.apply(x) if world_size() > 1 else x


def all_reduce_max(x: Tensor) -> Tensor:
    """Returns the elementwise maximum over all ranks, without a gradient."""
    return _all_reduce(x, dist.ReduceOp.MAX) if world_size() > 1 else x.detach()


def _all_reduce(x: Tensor, op: Any) -> Tensor:
    out = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(out, op)
    return out


def _collective(name: str, name_before_2_14: str) -> Callable[[Tensor, Tensor], Any]:
    """Returns a function of ``torch.distributed``, by its name before torch 2.14 if the new one is missing."""
    function: Callable[[Tensor, Tensor], Any] = getattr(dist, name, None) or getattr(dist, name_before_2_14)
    return function


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = x.new_empty((world_size() * len(x), *x.shape[1:]))
        _collective("all_gather_single", "all_gather_into_tensor")(out, x.contiguous())
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        out = grad.new_empty((len(grad) // world_size(), *grad.shape[1:]))
        _collective("reduce_scatter_single", "reduce_scatter_tensor")(out, grad.contiguous())
        return out


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduce(x, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _all_reduce(grad, dist.ReduceOp.SUM)


def own_rows(x: Tensor) -> Tensor:
    """Returns this rank's rows (B, ...) of a gathered tensor (world size * B, ...)."""
    return x.chunk(world_size())[get_rank()]


def apply_shuffled(function: Callable[[Tensor], Tensor], x: Tensor, order: Tensor) -> Tensor:
    """Applies a function to the rows of all ranks, of which each rank gets a shuffled part.

    Args:
        function: Maps rows (B, ...) to rows (B, D).
        x: Tensor (B, ...) on each rank, with the same shape on all.
        order: Permutation (world size * B,) of all rows, the same on all ranks.

    Returns:
        The result (world size * B, D) for all rows, in the order of the ranks; without a gradient through ``function``.
    """
    if world_size() == 1:
        return function(x)
    shuffled = all_gather(function(own_rows(all_gather(x)[order])))
    return torch.empty_like(shuffled).index_copy_(0, order, shuffled)
