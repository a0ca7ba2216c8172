"""Random numbers that are functions of a key.

Sample 17 of epoch 3 is thus augmented in the same way on any device, in any batch, on any number of ranks and after any
resume.
"""

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea and Flood 2014): the Weyl increment and both multipliers of the finalizer, as signed 64-bit.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shifts int64 to the right, filling with zeros."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def hash64(x: Tensor) -> Tensor:
    """Hashes int64 of any shape to int64 by the finalizer of SplitMix64."""
    return _hash64_(x.clone())


def _hash64_(x: Tensor) -> Tensor:
    """Hashes in place."""
    x.bitwise_xor_(_shift(x, 30)).mul_(_MIX_1)
    x.bitwise_xor_(_shift(x, 27)).mul_(_MIX_2)
    return x.bitwise_xor_(_shift(x, 31))


def derive_key(*parts: int) -> int:
    """Returns one 63-bit key for several integers, such as seed, epoch and index.

    >>> derive_key(0, 3, 17) == derive_key(0, 3, 17) != derive_key(0, 17, 3)
    True
    """
    state, ones = 0, (1 << 64) - 1
    for part in parts:
        x = (state + part + _GAMMA) & ones
        x = ((x ^ (x >> 30)) * _MIX_1) & ones
        x = ((x ^ (x >> 27)) * _MIX_2) & ones
        state = x ^ (x >> 31)
    return state >> 1


def random_bits(sample_key: Tensor, count: int, stream: int = 0) -> Tensor:
    """Returns random 64-bit integers, equal on every device.

    Args:
        sample_key: Random keys (B,) int64, one per sample.
        count: Number of integers per sample.
        stream: Number of the random stream; different streams of one key are independent of each other.

    Returns:
        Integers (B, count) int64 on the device of the key.
    """
    start = hash64(sample_key + hash64(torch.full_like(sample_key, stream)))  # (B,)
    step = torch.arange(1, count + 1, device=sample_key.device, dtype=torch.int64).mul_(_GAMMA)
    return _hash64_(start[:, None] + step)


def uniform(sample_key: Tensor, count: int, stream: int = 0) -> Tensor:
    """Returns uniform random numbers in [0, 1), equal on every device.

    Args:
        sample_key: Random keys (B,) int64, one per sample.
        count: Number of random numbers per sample.
        stream: Number of the random stream; different streams of one key are independent of each other.

    Returns:
        Numbers (B, count) float32 on the device of the key.
    """
    return _shift(random_bits(sample_key, count, stream), 40).to(torch.float32) / (1 << 24)


def stream_of(name: str) -> int:
    """Returns the number of the random stream that belongs to a name, such as that of a class."""
    return derive_key(*name.encode())
