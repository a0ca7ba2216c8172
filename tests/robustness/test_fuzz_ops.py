"""Affinity, sampling, geometry, patches and colors: no crash, no NaN for finite input, and their invariances."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from mmcontrast.data.augment.crops import random_boxes, resample
from mmcontrast.data.augment.pixel_sampling import draw_non_matches, draw_pixels
from mmcontrast.data.sampler import KeyedSampler
from mmcontrast.ops.affinity import Window, affinity, attend, propagate
from mmcontrast.ops.color import lab_to_rgb, nearest_center, rgb_to_lab
from mmcontrast.ops.color_bins import ColorBins
from mmcontrast.ops.geometry import (
    apply_homography,
    homography_from_corners,
    inside,
    pixel_grid,
    pixel_index,
    project,
    relative_motion,
    reproject,
    sample,
    take,
    thin_plate,
    unproject,
)
from mmcontrast.ops.holes import border, random_region
from mmcontrast.ops.patches import block_mask, cut, paste, patchify, random_mask, standardize, unpatchify
from mmcontrast.ops.random import uniform
from tests.robustness.fuzz import KINDS, SEEDS, SIZES, assert_finite, fuzz, numbers, order

WINDOWS = st.one_of(st.none(), st.builds(Window, st.floats(0, 9), st.sampled_from(["square", "circle"])))
SIDES = st.integers(2, 24)


def unit_draws(seed: int, *shape: int) -> Tensor:
    """Floats in [0, 1)."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@fuzz(
    seed=SEEDS,
    queries=SIZES,
    keys=SIZES,
    dim=SIZES,
    topk=st.one_of(st.none(), SIZES),
    kind=st.sampled_from(KINDS),
    temperature=st.floats(0.01, 2),
    scale=st.floats(0.1, 10),
)
def test_affinity(
    seed: int, queries: int, keys: int, dim: int, topk: int | None, kind: str, temperature: float, scale: float
):
    query = numbers(seed, 2, queries, dim, kind=kind).requires_grad_()
    key = numbers(seed + 1, 2, keys, dim, kind=kind).requires_grad_()
    weights = affinity(query, key, temperature, topk)
    assert_finite(weights, query, key)
    assert (weights >= 0).all()
    assert_close(weights.sum(-1), torch.ones(2, queries, dtype=torch.float64))
    assert ((weights > 0).sum(-1) <= (topk or keys)).all()
    if kind == "normal":
        places = order(seed, keys)
        assert_close(affinity(query, key[:, places], temperature, topk), weights[..., places])
        assert_close(affinity(query * scale, key, temperature * scale, topk), weights)


@fuzz(
    seed=SEEDS,
    height=SIZES,
    width=SIZES,
    frames=st.integers(1, 3),
    topk=st.one_of(st.none(), SIZES),
    window=WINDOWS,
    tile=st.integers(1, 13),
    kind=st.sampled_from(KINDS),
)
def test_copying_through_a_window(
    seed: int, height: int, width: int, frames: int, topk: int | None, window: Window | None, tile: int, kind: str
):
    dim, channels = 4, 3
    query = numbers(seed, height, width, dim, kind=kind, dtype=torch.float32)
    keys = numbers(seed + 1, frames, height, width, dim, kind=kind, dtype=torch.float32)
    labels = unit_draws(seed, frames, height, width, channels)
    labels = labels / labels.sum(-1, keepdim=True)
    copied = propagate(query, keys, labels, 0.3, topk, window, tile=tile)
    assert copied.shape == (height, width, channels)
    assert_finite(copied)
    assert_close(copied.sum(-1), torch.ones(height, width))  # a mean of labels that sum to one
    if kind == "normal":
        mirrored = propagate(query.flip(1), keys.flip(2), labels.flip(2), 0.3, topk, window, tile=tile)
        assert_close(mirrored.flip(1), copied, rtol=1e-4, atol=1e-5)
        first = lambda x: x.movedim(-1, -3)[None]  # channels first, a batch of one
        trained = attend(first(query), first(keys), first(labels), 0.3, topk, window, tile)
        assert_close(trained[0].movedim(0, -1), copied, rtol=1e-4, atol=1e-5)


@fuzz(
    seed=SEEDS,
    count=st.integers(1, 200),
    world=st.integers(1, 9),
    epoch=st.integers(0, 10**6),
    start=st.integers(0, 20),
    drop=st.booleans(),
)
def test_ranks_share_an_epoch(seed: int, count: int, world: int, epoch: int, start: int, drop: bool):
    def keys(rank: int, begin: int = 0) -> list[int]:
        sampler = KeyedSampler(range(count), rank, world, drop_last=drop, seed=seed, start=begin)
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len({key.to_int() for key in drawn}) == len({key.index for key in drawn})
        return [key.index for key in drawn]

    shares = [keys(rank) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    drawn = sorted(index for share in shares for index in share)
    if drop:
        assert len(set(drawn)) == len(drawn) == count // world * world
    else:
        assert set(drawn) == set(range(count))
    assert keys(0, start) == shares[0][start:]


@fuzz(
    seed=SEEDS,
    height=SIDES,
    width=SIDES,
    size=st.integers(1, 24),
    low=st.floats(0.01, 1),
    shape=st.floats(1, 8),
)
def test_crops(seed: int, height: int, width: int, size: int, low: float, shape: float):
    boxes = random_boxes(unit_draws(seed, 3, 22), height, width, (low, 1.0), (1 / shape, shape))
    top, left, h, w = boxes.unbind(1)
    assert ((top >= 0) & (left >= 0) & (h >= 1) & (w >= 1)).all()
    assert ((top + h <= height) & (left + w <= width)).all()
    image, flip = unit_draws(seed, 3, 2, height, width), unit_draws(seed + 1, 3) < 0.5
    cropped = resample(image, boxes, flip, size)
    assert_finite(cropped)
    for one, whole in zip(cropped, image, strict=True):
        assert one.min() >= whole.min() - 1e-5
        assert one.max() <= whole.max() + 1e-5
    mirrored = torch.stack([top, width - left - w, h, w], 1)
    assert_close(resample(image.flip(3), mirrored, ~flip, size), cropped, rtol=1e-4, atol=1e-4)


@fuzz(seed=SEEDS, height=SIDES, width=st.integers(9, 24), count=SIZES, share=st.floats(0, 1), radius=st.floats(0, 2))
def test_drawn_pixels(seed: int, height: int, width: int, count: int, share: float, radius: float):
    mask = unit_draws(seed, 2, height, width) < share
    drawn = draw_pixels(mask, unit_draws(seed, 2, count))
    for pixels, allowed in zip(drawn, mask.flatten(1), strict=True):
        assert allowed[pixels].all() if allowed.any() else (pixels == 0).all()
    match = unit_draws(seed, 2, count, 2) * torch.tensor([width - 1, height - 1])
    key = torch.tensor([seed, seed + 1])
    pixels = draw_non_matches(mask, torch.tensor([share, 1 - share]), match, key, 5, radius)
    assert ((pixels >= 0) & (pixels < height * width)).all()
    apart = torch.hypot(pixels % width - match[..., :1], pixels // width - match[..., 1:])
    assert (apart > radius).all()


def camera(seed: int) -> tuple[Tensor, Tensor]:
    """(3, 3) intrinsics, and a camera-to-world pose (4, 4) of any rotation."""
    focal, x, y = (unit_draws(seed, 3).double() * 200 + 50).tolist()
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.linalg.qr(numbers(seed, 3, 3)).Q
    pose[:3, :3] *= torch.linalg.det(pose[:3, :3])
    pose[:3, 3] = numbers(seed + 1, 3)
    return torch.tensor([[focal, 0, x], [0, focal, y], [0, 0, 1]], dtype=torch.float64), pose


@fuzz(seed=SEEDS, count=SIZES, near=st.floats(1e-3, 1e3))
def test_cameras(seed: int, count: int, near: float):
    intrinsics, pose = camera(seed)
    other_intrinsics, other = camera(seed + 7)
    xy, depth = numbers(seed, 1, count, 2) * 300, unit_draws(seed, 1, count).double() * near + 1e-3
    back, z = project(unproject(xy, depth, intrinsics[None]), intrinsics[None])
    assert_close(back, xy, rtol=1e-6, atol=1e-6)
    assert_close(z, depth)
    motion, return_ = relative_motion(pose, other)[None], relative_motion(other, pose)[None]
    there, depth_b = reproject(xy, depth, intrinsics[None], motion, other_intrinsics[None])
    seen = depth_b > 1e-3
    assert there[seen].isfinite().all()
    assert there[depth_b <= 0].isnan().all()
    again, _ = reproject(there, depth_b, other_intrinsics[None], return_, intrinsics[None])
    assert_close(again[seen], xy[seen], rtol=1e-4, atol=1e-4)


@fuzz(seed=SEEDS, height=SIDES, width=SIDES, count=SIZES, reach=st.sampled_from([1.0, 2.0, 1e6, 1e30]))
def test_sampling(seed: int, height: int, width: int, count: int, reach: float):
    image = numbers(seed, 2, 3, height, width)
    xy = numbers(seed + 1, 2, count, 2) * reach * height
    values = sample(image, xy)
    assert_finite(values)
    assert values.min() >= image.min() - 1e-9
    assert values.max() <= image.max() + 1e-9
    places = order(seed, count)
    assert_close(sample(image, xy[:, places]), values[:, places])
    if reach <= 2:
        mirrored = torch.stack([width - 1 - xy[..., 0], xy[..., 1]], -1)
        assert_close(sample(image.flip(3), mirrored), values)
    grid = pixel_grid(height, width).double().expand(2, -1, -1)
    assert inside(grid, height, width).all()
    assert_close(sample(image, grid), image.flatten(2).mT)
    assert torch.equal(take(image, pixel_index(grid, height, width)), image.flatten(2).mT)
    assert ((pixel_index(xy, height, width) >= 0) & (pixel_index(xy, height, width) < height * width)).all()


@fuzz(seed=SEEDS, height=st.integers(16, 300), width=st.integers(16, 300), bend=st.floats(0, 0.2))
def test_warps(seed: int, height: int, width: int, bend: float):
    size = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    square = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    corners = (square + bend * (2 * unit_draws(seed, 1, 4, 2).double() - 1)) * size
    forth = homography_from_corners(corners, height, width)
    assert_close(apply_homography(forth, (square * size)[None]), corners, rtol=1e-6, atol=1e-4)
    xy = unit_draws(seed + 1, 1, 20, 2).double() * size
    there = apply_homography(forth, xy)
    assert_finite(there)
    assert_close(apply_homography(torch.linalg.inv(forth), there), xy, rtol=1e-4, atol=1e-3)

    control = torch.cat([square * size, unit_draws(seed + 2, 5, 2).double() * size])[None]
    target = control + bend * numbers(seed, 1, 9, 2) * size
    assert_close(thin_plate(control, target, control), target, rtol=1e-3, atol=0.05)
    assert_finite(thin_plate(control, target, xy))
    shift = numbers(seed, 1, 1, 2) * 10
    moved = thin_plate(control, target + shift, xy)
    assert_close(moved, thin_plate(control, target, xy) + shift, rtol=1e-4, atol=1e-3)


@fuzz(seed=SEEDS, rows=SIZES, columns=SIZES, side=st.integers(1, 5), kind=st.sampled_from(KINDS))
def test_patches(seed: int, rows: int, columns: int, side: int, kind: str):
    image = numbers(seed, 2, 3, rows * side, columns * side, kind=kind)
    patches = patchify(image, side)
    assert patches.shape == (2, rows * columns, 3 * side * side)
    assert torch.equal(unpatchify(patches, side, rows * side, columns * side), image)
    places = order(seed, 2)
    assert torch.equal(patchify(image[places], side), patches[places])
    flat = standardize(patches.unflatten(2, (3, side, side)))
    assert_finite(flat)
    assert flat.mean((-2, -1)).abs().max() < 1e-2
    assert (flat.std((-2, -1), correction=0) <= 1 + 1e-6).all()

    square = numbers(seed, 2, 3, rows * side, rows * side, kind=kind)
    first = torch.arange(rows) * side
    top, left = (axis.flatten().expand(2, -1) for axis in torch.meshgrid(first, first, indexing="ij"))
    assert torch.equal(paste(cut(square, top, left, side), top, left, rows * side), square)


@fuzz(seed=SEEDS, height=SIDES, width=SIDES, ratio=st.floats(0.01, 0.99), share=st.floats(0.05, 0.95))
def test_masks(seed: int, height: int, width: int, ratio: float, share: float):
    key = torch.tensor([seed, seed + 1, seed])
    keep, hidden = random_mask(key, height * width, ratio, stream=1)
    assert (hidden.sum(1) == height * width - keep.shape[1]).all()
    assert not hidden.gather(1, keep).any()
    blocks = block_mask(key, height, width, 2, ratio=(0.1, 0.5), probability=share)
    assert (blocks.sum(1) <= max(1, math.ceil(0.5 * height * width))).all()
    hole = random_region(key, height, width, 3, share)
    assert (hole.flatten(1).sum(1) == max(1, round(share * (height * width)))).all()
    rim = border(hole, 2)
    assert not (rim & hole).any()
    for drawn in (keep, hidden, blocks, hole):  # the key decides, not the place in the batch
        assert torch.equal(drawn[0], drawn[2])
    draws = uniform(key, 50)
    assert ((draws >= 0) & (draws < 1)).all()


@fuzz(seed=SEEDS, height=SIZES, width=SIZES, low=st.floats(-2, 0), high=st.floats(1, 3))
def test_colors(seed: int, height: int, width: int, low: float, high: float):
    rgb = unit_draws(seed, 2, 3, height, width).double()
    lab = rgb_to_lab(rgb)
    assert ((lab[:, 0] >= -1e-6) & (lab[:, 0] <= 100 + 1e-6)).all()
    assert_close(lab_to_rgb(lab), rgb, rtol=1e-6, atol=1e-6)
    assert_close(rgb_to_lab(rgb.flip(2, 3)), lab.flip(2, 3))
    gray = rgb[:, :1].expand(-1, 3, -1, -1)
    assert rgb_to_lab(gray)[:, 1:].abs().max() < 0.01
    outside = (low + (high - low) * rgb).requires_grad_()  # not a color, but finite
    assert_finite(rgb_to_lab(outside), outside)
    back = lab_to_rgb(numbers(seed, 2, 3, height, width) * 200)
    assert ((back >= 0) & (back <= 1)).all()

    centers = numbers(seed, 7, 2) * 50
    ab, places = lab[:, 1:], order(seed, 7)
    assert torch.equal(places[nearest_center(ab, centers[places])], nearest_center(ab, centers))


BINS = ColorBins()


@fuzz(seed=SEEDS, height=SIZES, width=SIZES, kind=st.sampled_from(KINDS))
def test_color_bins(seed: int, height: int, width: int, kind: str):
    rgb = unit_draws(seed, 2, 3, height, width)
    index, weight = BINS.encode(rgb_to_lab(rgb)[:, 1:])
    assert_close(weight.sum(1), torch.ones(2, height, width))
    share = BINS.frequencies(index, weight)
    assert_close(share.sum(), torch.tensor(1.0))
    logits = numbers(seed, 2, len(BINS.centers), height, width, kind=kind, dtype=torch.float32)
    ab = BINS.annealed_mean(logits)
    assert_finite(ab)
    assert ab.abs().max() <= BINS.centers.abs().max() + 1e-3
    assert_close(BINS.annealed_mean(logits.flip(3)), ab.flip(3))
    index, weight = BINS.encode(numbers(seed, 2, 2, height, width, kind="large").float())
    assert_finite(weight)
