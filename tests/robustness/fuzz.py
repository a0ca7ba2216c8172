"""Properties that hold for whatever hypothesis draws: 50 draws in the fast suite, 1,000 in the slow one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 12)


def fuzz(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of a property of drawn arguments; the draws are the same on every run."""

    def made(law: Callable[..., None]) -> Callable[..., None]:
        def test(draws: int) -> None:
            many = settings(
                max_examples=draws,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            many(given(**strategies)(law))()

        counts = [pytest.param(50), pytest.param(1000, marks=pytest.mark.slow)]
        test.__name__, test.__qualname__, test.__doc__ = law.__name__, law.__name__, law.__doc__
        return pytest.mark.parametrize("draws", counts)(test)

    return made


KINDS = ("normal", "large", "tiny", "equal", "one-hot", "opposite", "zero")


def numbers(seed: int, *shape: int, kind: str = "normal", dtype: torch.dtype = torch.float64) -> Tensor:
    """Finite numbers of a kind; the last axis is a vector's."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    if kind == "large":
        x = x * 1e4
    elif kind == "tiny":
        x = x * 1e-12
    elif kind == "equal":
        x = x.flatten(0, -2)[:1].expand(x.shape[:-1].numel(), -1).reshape(shape)
    elif kind == "one-hot":
        x = torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1)
    elif kind == "opposite":
        x = x.sign().clamp(min=-1) * x.abs().amax()
    elif kind == "zero":
        x = x * 0
    return x.to(dtype)


def order(seed: int, count: int) -> Tensor:
    """A permutation."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed ^ 1))


def assert_finite(value: Tensor, *inputs: Tensor) -> None:
    """The value, and its gradients where inputs are given."""
    assert value.isfinite().all()
    if inputs:
        for gradient in torch.autograd.grad(value.sum(), inputs, allow_unused=True, materialize_grads=True):
            assert gradient.isfinite().all()
