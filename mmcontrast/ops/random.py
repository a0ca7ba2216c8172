"""Random numbers that are a function of a key, so that sample 17 of epoch 3 is augmented alike on any device,
in any batch, on any number of ranks, and after any resume."""

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea and Flood 2014): Weyl increment and the two multipliers of its finalizer, as signed 64-bit.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def hash64(x: Tensor) -> Tensor:
    """SplitMix64's finalizer: int64 of any shape -> int64, every output bit depends on every input bit."""
    return _hash64_(x.clone())


def _hash64_(x: Tensor) -> Tensor:
    x.bitwise_xor_(_shift(x, 30)).mul_(_MIX_1)
    x.bitwise_xor_(_shift(x, 27)).mul_(_MIX_2)
    return x.bitwise_xor_(_shift(x, 31))


def derive_key(*parts: int) -> int:
    """Integers (seed, epoch, index, ...) -> one 63-bit key."""
    state, ones = 0, (1 << 64) - 1
    for part in parts:
        x = (state + part + _GAMMA) & ones
        x = ((x ^ (x >> 30)) * _MIX_1) & ones
        x = ((x ^ (x >> 27)) * _MIX_2) & ones
        state = x ^ (x >> 31)
    return state >> 1


def random_bits(sample_key: Tensor, count: int, stream: int = 0) -> Tensor:
    """Random 64-bit words.

    Args:
        sample_key: (B,) int64, one per sample.
        count: words per sample.
        stream: makes independent draws from the same key (one number per place in the code that draws).
    Returns:
        (B, count) int64 on the key's device, equal on every device.
    """
    start = hash64(sample_key + hash64(torch.full_like(sample_key, stream)))  # (B,)
    step = torch.arange(1, count + 1, device=sample_key.device, dtype=torch.int64).mul_(_GAMMA)
    return _hash64_(start[:, None] + step)


def uniform(sample_key: Tensor, count: int, stream: int = 0) -> Tensor:
    """Uniform floats in [0, 1).

    Args:
        sample_key: (B,) int64, one per sample.
        count: numbers per sample.
        stream: makes independent draws from the same key (one number per place in the code that draws).
    Returns:
        (B, count) float32 on the key's device, equal on every device.
    """
    return _shift(random_bits(sample_key, count, stream), 40).to(torch.float32) / (1 << 24)
