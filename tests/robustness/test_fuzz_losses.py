"""Losses are finite, with finite gradients, for any finite input, and do not care about what should not matter."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from mmcontrast.losses import (
    clip_loss,
    color_bins,
    dino_loss,
    ibot_loss,
    info_nce,
    inpainting_loss,
    koleo,
    masked_patches,
    nt_xent,
    siglip_loss,
    sinkhorn,
)
from mmcontrast.losses.cycle import contrastive_random_walk
from mmcontrast.losses.dense import (
    distance_weight,
    match_loss,
    non_match_loss,
    pixel_info_nce,
    triplet_loss,
)
from mmcontrast.ops.sphere import l2_normalize
from tests.robustness.fuzz import KINDS, SEEDS, SIZES, assert_finite, fuzz, numbers, order

PAIRS: dict[str, Any] = {
    "clip": lambda a, b, scale, ids: clip_loss(a, b, scale),
    "clip, repeats": clip_loss,
    "siglip": lambda a, b, scale, ids: siglip_loss(a, b, scale, -scale / 2, ids),
    "nt_xent": lambda a, b, scale, ids: nt_xent(a, b, 1 / scale),
    "info_nce": lambda a, b, scale, ids: info_nce(a, b, 1 / scale),
    "info_nce, queue": lambda a, b, scale, ids: info_nce(
        a, b, 1 / scale, l2_normalize(numbers(5, 7, a.shape[1])).to(a)
    ),
}
SYMMETRIC = {"clip", "clip, repeats", "siglip", "nt_xent"}
DTYPES = st.sampled_from([torch.float32, torch.float64])


def vectors(seed: int, count: int, dim: int, kind: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Two sets of unit vectors that take gradients, and ids of which some repeat."""
    a, b = (l2_normalize(numbers(seed + i, count, dim, kind=kind)).to(dtype).requires_grad_() for i in (0, 1))
    return a, b, torch.randint(0, count, (count,), generator=torch.Generator().manual_seed(seed))


@fuzz(
    name=st.sampled_from(list(PAIRS)),
    seed=SEEDS,
    count=SIZES,
    dim=SIZES,
    kind=st.sampled_from(KINDS),
    scale=st.floats(0.01, 100),
    dtype=DTYPES,
)
def test_contrastive(name: str, seed: int, count: int, dim: int, kind: str, scale: float, dtype: torch.dtype):
    a, b, ids = vectors(seed, count, dim, kind, dtype)
    loss = PAIRS[name]
    value = loss(a, b, scale, ids)
    assert value.dtype == dtype
    assert_finite(value, a, b)
    assert value > -1e-5
    if dtype == torch.float64:
        places, turn = order(seed, count), torch.linalg.qr(numbers(seed, dim, dim)).Q
        queued = "queue" in name  # its vectors stay where they are
        if not queued:
            assert_close(loss(a @ turn, b @ turn, scale, ids), value)
        assert_close(loss(a[places], b[places], scale, ids[places]), value)
        if name in SYMMETRIC:
            assert_close(loss(b, a, scale, ids), value)


@fuzz(
    seed=SEEDS,
    views=st.integers(2, 5),
    count=SIZES,
    prototypes=SIZES,
    kind=st.sampled_from(KINDS),
    temperature=st.floats(0.01, 1),
)
def test_distillation(seed: int, views: int, count: int, prototypes: int, kind: str, temperature: float):
    student = numbers(seed, views, count, prototypes, kind=kind).requires_grad_()
    teacher = numbers(seed + 1, 2, count, prototypes).softmax(-1)
    value = dino_loss(student, teacher, temperature)
    assert_finite(value, student)
    places = order(seed, count)
    assert_close(dino_loss(student[:, places], teacher[:, places], temperature), value)
    higher = student + numbers(seed, views, count, 1)  # a softmax does not see the level of its logits
    assert_close(dino_loss(higher, teacher, temperature), value, rtol=1e-6, atol=1e-6)

    weight = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    hidden = ibot_loss(student[0], teacher[0], weight, count, temperature)
    assert_finite(hidden, student)
    assert_close(ibot_loss(student[0, places], teacher[0, places], weight[places], count, temperature), hidden)


@fuzz(seed=SEEDS, count=SIZES, prototypes=SIZES, temperature=st.floats(0.04, 1), dtype=DTYPES)
def test_sinkhorn(seed: int, count: int, prototypes: int, temperature: float, dtype: torch.dtype):
    cosines = numbers(seed, count, prototypes, dtype=dtype).tanh()
    q = sinkhorn(cosines, torch.tensor(temperature, dtype=dtype))
    assert_finite(q)
    assert (q >= 0).all()
    assert_close(q.sum(1), torch.ones(count, dtype=dtype))
    if dtype == torch.float64:
        places = order(seed, prototypes)
        assert_close(sinkhorn(cosines[:, places], torch.tensor(temperature, dtype=dtype)), q[:, places])
    assert_finite(sinkhorn(numbers(seed, count, prototypes, kind="large", dtype=dtype), torch.tensor(temperature)))


@fuzz(seed=SEEDS, count=st.integers(2, 12), dim=SIZES, kind=st.sampled_from(KINDS), scale=st.floats(1e-3, 1e3))
def test_koleo(seed: int, count: int, dim: int, kind: str, scale: float):
    features = numbers(seed, count, dim, kind=kind)
    value = koleo(features)
    assert_finite(value)
    if kind == "normal" and dim > 1:
        assert_close(koleo(features * scale), value)
        assert_close(koleo(features[order(seed, count)]), value)


@fuzz(
    seed=SEEDS,
    frames=st.integers(2, 5),
    nodes=SIZES,
    dim=SIZES,
    kind=st.sampled_from(KINDS),
    temperature=st.floats(0.02, 1),
    scale=st.floats(1e-2, 1e3),
)
def test_contrastive_random_walk(
    seed: int, frames: int, nodes: int, dim: int, kind: str, temperature: float, scale: float
):
    features = numbers(seed, 2, frames, nodes, dim, kind=kind)
    there, back = (numbers(seed + i, 2, frames - 1, nodes, nodes) > 0 for i in (0, 1))
    for edges in (None, (there, back)):
        value, returned = contrastive_random_walk(features, temperature, edges)
        assert_finite(value)
        assert value > -1e-5
        assert 0 <= returned <= 1
    if kind != "tiny":
        places = order(seed, nodes)
        assert_close(
            contrastive_random_walk(features[:, :, places], temperature)[0],
            contrastive_random_walk(features, temperature)[0],
        )
        assert_close(
            contrastive_random_walk(features * scale, temperature)[0], contrastive_random_walk(features, temperature)[0]
        )


@fuzz(
    seed=SEEDS,
    count=SIZES,
    others=SIZES,
    dim=SIZES,
    side=st.integers(2, 9),
    kind=st.sampled_from(KINDS),
    margin=st.floats(0, 2),
    share=st.floats(0, 1),
)
def test_dense(seed: int, count: int, others: int, dim: int, side: int, kind: str, margin: float, share: float):
    draw = torch.Generator().manual_seed(seed)
    a, b = (numbers(seed + i, 2, count, dim, kind=kind, dtype=torch.float32).requires_grad_() for i in (0, 1))
    image = numbers(seed + 2, 2, dim, side, side, kind=kind, dtype=torch.float32).requires_grad_()
    is_match = torch.rand(2, count, generator=draw) < share
    pixels = torch.randint(0, side * side, (2, count, others), generator=draw)
    places = order(seed, count)
    shuffled = a[:, places], b[:, places], is_match[:, places]

    pull = match_loss(a, b, is_match)
    assert_finite(pull, a, b)
    assert_close(match_loss(b, a, is_match), pull)
    assert_close(match_loss(*shuffled), pull)

    match_b = torch.rand(2, count, 2, generator=draw) * side
    weight = distance_weight(match_b, pixels, side)
    assert ((weight >= 0) & (weight <= 1)).all()
    for factor in (None, weight):
        push, active = non_match_loss(a, image, pixels, is_match, margin, factor)
        assert_finite(push, a, image)
        assert ((push >= 0) & (push <= margin**2 + 1e-5)).all()
        assert (active <= is_match.sum(1) * others).all()
        moved = None if factor is None else factor[:, places]
        again, _ = non_match_loss(shuffled[0], image, pixels[:, places], shuffled[2], margin, moved)
        assert_close(again, push)

    apart = triplet_loss(a, b, b[:, :, None].expand(-1, -1, others, -1), is_match, margin)
    assert_close(apart, margin * is_match.any(1).float(), rtol=1e-3, atol=1e-3)

    x, y = l2_normalize(a), l2_normalize(b)
    found = pixel_info_nce(x, y, match_b, is_match, cell=1)
    assert_finite(found, a, b)
    assert (found > -1e-5).all()
    assert_close(pixel_info_nce(x[:, places], y[:, places], match_b[:, places], shuffled[2], cell=1), found)


@fuzz(seed=SEEDS, count=SIZES, width=st.integers(2, 12), gain=st.floats(0.5, 2), level=st.floats(-1, 1))
def test_masked_patches(seed: int, count: int, width: int, gain: float, level: float):
    prediction, target = (numbers(seed + i, 2, count, width) for i in (0, 1))
    hidden = torch.zeros(2, count, dtype=torch.bool)
    hidden[:, 0] = True
    value = masked_patches(prediction.requires_grad_(), target, hidden)
    assert_finite(value, prediction)
    if target.std(-1).min() > 0.1:  # flatter patches feel the 1e-6 that keeps them apart from zero
        assert_close(masked_patches(prediction, gain * target + level, hidden), value, rtol=1e-3, atol=1e-3)
    assert_finite(masked_patches(prediction, target * 0, hidden), prediction)


@fuzz(seed=SEEDS, side=st.integers(2, 9), bins=st.integers(2, 9), kind=st.sampled_from(KINDS))
def test_painting_and_coloring_do_not_know_left_from_right(seed: int, side: int, bins: int, kind: str):
    draw = torch.Generator().manual_seed(seed)
    prediction = numbers(seed, 2, 3, side, side, kind=kind).requires_grad_()
    target = torch.rand(2, 3, side, side, generator=draw, dtype=torch.float64)
    hole = torch.zeros(2, 1, side, side, dtype=torch.bool)
    hole[:, :, 0, : max(1, side // 2)] = True
    rim = torch.zeros_like(hole)
    rim[:, :, 1] = True
    value = inpainting_loss(prediction, target, hole, rim)
    assert_finite(value, prediction)
    assert_close(inpainting_loss(*(x.flip(3) for x in (prediction, target, hole, rim))), value)

    logits = numbers(seed, 2, bins, side, side, kind=kind).requires_grad_()
    index = torch.rand(2, bins, side, side, generator=draw).argsort(1)[:, :2]
    share = torch.rand(2, 2, side, side, generator=draw, dtype=torch.float64).softmax(1)
    weight = torch.rand(bins, generator=draw, dtype=torch.float64)
    value = color_bins(logits, index, share, weight)
    assert_finite(value, logits)
    assert value > -1e-9
    assert_close(color_bins(*(x.flip(3) for x in (logits, index, share)), weight), value)
