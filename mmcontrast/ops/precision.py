"""The precision in which sums, norms and exponentials are computed."""

import torch
from torch import Tensor


def accumulation_dtype(x: Tensor) -> torch.dtype:
    """Returns the type in which sums over ``x`` are computed: its own, or float32 if that is wider."""
    return torch.promote_types(x.dtype, torch.float32)


def at_least_float32(x: Tensor) -> Tensor:
    """Returns ``x`` in float32 if its type is narrower, and unchanged otherwise.

    >>> at_least_float32(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    >>> at_least_float32(torch.ones(2, dtype=torch.float64)).dtype
    torch.float64
    """
    return x.to(accumulation_dtype(x))
