"""Keyed random numbers: known values, uniform, independent, and a function of the key alone."""

import pytest
import torch

from mmcontrast.ops.random import derive_key, hash64, random_bits, uniform


def _splitmix64(state: int, count: int) -> list[int]:
    """SplitMix64 as published, in Python integers: the outputs after ``state``, as signed 64-bit."""
    out, ones = [], (1 << 64) - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & ones
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & ones
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ones
        z ^= z >> 31
        out.append(z - (1 << 64) if z >> 63 else z)
    return out


def test_words_are_the_published_generator() -> None:
    # 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F: the first outputs of SplitMix64 from state 0.
    assert [x % (1 << 64) for x in _splitmix64(0, 3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    keys = torch.tensor([0, 1, 12345678901234567, -5])
    start = hash64(keys + hash64(torch.full_like(keys, 3)))
    got = random_bits(keys, 4, stream=3)
    assert got.tolist() == [_splitmix64(int(state), 4) for state in start]


def test_uniform_is_the_top_24_bits() -> None:
    keys = torch.tensor([7, -7])
    bits = [[(word % (1 << 64)) >> 40 for word in row] for row in random_bits(keys, 5, stream=2).tolist()]
    assert torch.equal(uniform(keys, 5, stream=2), torch.tensor(bits, dtype=torch.float32) / (1 << 24))


def test_mix_leaves_its_input_alone() -> None:
    x = torch.arange(5)
    hash64(x)
    assert torch.equal(x, torch.arange(5))


def test_a_sample_draws_the_same_in_any_batch_and_from_any_stride() -> None:
    keys = torch.tensor([derive_key(0, 1, index) for index in range(64)])
    batch = uniform(keys, 6, stream=1)
    assert torch.equal(batch[10:13], uniform(keys[10:13], 6, stream=1))
    assert torch.equal(batch[::2], uniform(keys[::2], 6, stream=1))
    assert torch.equal(batch[:, :4], uniform(keys, 4, stream=1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same() -> None:
    keys = torch.tensor([derive_key(0, 1, index) for index in range(1000)])
    assert torch.equal(uniform(keys.cuda(), 9, stream=4).cpu(), uniform(keys, 9, stream=4))


@pytest.mark.parametrize("along", ["keys", "numbers"])
def test_uniform_in_value(along: str) -> None:
    if along == "keys":  # consecutive indices are the keys of a data set
        drawn = uniform(torch.tensor([derive_key(0, 0, index) for index in range(20_000)]), 1)[:, 0]
    else:
        drawn = uniform(torch.tensor([1]), 20_000)[0]
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = torch.histc(
        drawn, 50, 0, 1
    )  # chi-square with 49 degrees of freedom: below 95 in all but 1 of 10,000 draws
    assert ((counts - 400).square() / 400).sum() < 95


def test_streams_keys_and_neighbors_are_independent() -> None:
    keys = torch.arange(20_000)
    draws = [uniform(keys, 2, stream=stream) for stream in (0, 1, 2)]
    columns = torch.stack([column for draw in draws for column in draw.t()] + [uniform(keys + 1, 1)[:, 0]])  # (7, K)
    correlation = torch.corrcoef(columns) - torch.eye(len(columns))
    assert correlation.abs().max() < 4.5 / 20_000**0.5
    assert len({tuple(column.tolist()[:100]) for column in columns}) == len(columns)


def test_fold_tells_all_its_parts_apart() -> None:
    keys = [derive_key(seed, epoch, index) for seed in range(8) for epoch in range(8) for index in range(64)]
    keys += [derive_key(), derive_key(0), derive_key(0, 0), derive_key(1, 0), derive_key(0, 1)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 1 << 63 for key in keys)
    assert derive_key(1, 2, 3) == derive_key(1, 2, 3)
    assert derive_key(0) == _splitmix64(0, 1)[0] % (1 << 64) >> 1
