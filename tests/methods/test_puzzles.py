"""Rotation, relative patch and jigsaw: cuts, labels and drawings."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.methods import Jigsaw, Method, RelativePatch, Rotation


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(40, 3, 64, 72)


def relative(**options) -> RelativePatch:
    return RelativePatch(TinyConv(dim=8), **{"patch": 14, "gap": 6, "jitter": 2, "color": "keep", **options})


def jigsaw(**options) -> Jigsaw:
    return Jigsaw(TinyConv(dim=8), **{"permutations": 24, "hidden": 16, "gray": 0.0, "channel_shift": 0, **options})


def as_seen(pieces: Tensor, method: Method) -> Tensor:
    return (pieces - method.encoder.mean) / method.encoder.std


def scaled(piece: Tensor) -> Tensor:
    """(3, P, P), each channel of mean 0 and deviation 1."""
    return (piece - piece.mean((1, 2), keepdim=True)) / (piece.std((1, 2), correction=0, keepdim=True) + 1e-4)


def find(piece: Tensor, image: Tensor) -> tuple[int, int]:
    """First row and column of a standardized piece in its image (3, H, W), by trying all."""
    side = piece.shape[-1]
    windows = image.unfold(1, side, 1).unfold(2, side, 1)  # (3, h, w, P, P)
    mean, deviation = windows.mean((3, 4), keepdim=True), windows.std((3, 4), correction=0, keepdim=True)
    error = (((windows - mean) / (deviation + 1e-4)) - piece[:, None, None]).abs().amax((0, 3, 4))  # (h, w)
    assert error.min() < 1e-3
    return divmod(int(error.argmin()), error.shape[1])


def test_rotation_classifies_all_four_turns_of_each_image():
    method, image = Rotation(TinyConv(dim=8)), torch.rand(3, 3, 16, 16)
    losses = []
    for photo in image:
        for quarters in range(4):
            logits = method.head(method.encoder(photo.rot90(quarters, (1, 2))[None]))
            losses.append(F.cross_entropy(logits, torch.tensor([quarters])))
    out = method({"image": image})
    torch.testing.assert_close(out["loss"], torch.stack(losses).mean())
    assert method.turns(image).sum(1).allclose(torch.ones(3))
    with pytest.raises(InputError, match="square"):
        method({"image": image[..., :12]})


def test_a_patch_and_its_neighbor_lie_as_the_label_says(image):
    method, key = relative(), torch.arange(40)
    pairs, position = method.pairs(image, key)
    assert set(position.tolist()) == set(range(8))
    moves, firsts = [], []
    for pair, photo, direction in zip(as_seen(pairs, method), image, method.directions[position], strict=True):
        first, second = (torch.tensor(find(patch, photo)) for patch in pair)
        moves.append(second - first - 20 * direction)
        firsts.append(first)
    moved, starts = torch.stack(moves), torch.stack(firsts)
    assert moved.abs().max() == 2  # jitter
    assert len(moved.unique()) == 5
    assert starts.amin(0).tolist() == [22, 22]  # all eight neighbors are inside, wherever it lies
    assert starts.amax(0).tolist() == [28, 36]


def test_a_sample_is_cut_alike_in_any_batch(image):
    key = torch.arange(40)
    for method, cut in ((m := relative(color="drop"), m.pairs), (j := jigsaw(gray=0.5, channel_shift=1), j.puzzles)):
        whole, labels = cut(image, key)
        part, some = cut(image[7:9], key[7:9])
        torch.testing.assert_close(part, whole[7:9])
        assert torch.equal(some, labels[7:9]), method


def test_guarded_colors(image):
    pairs = as_seen(relative(color="drop").pairs(image, torch.arange(40))[0], relative())
    assert (pairs.abs().amax((3, 4)) > 0.1).sum(2).eq(1).all()  # one channel of each patch has anything to see
    assert len((pairs.abs().amax((3, 4)) > 0.1).flatten(0, 1).unique(dim=0)) == 3
    method = relative(color="project")
    gray = torch.rand(40, 1, 64, 72) * torch.ones(3, 1, 1)
    fringed = gray + 0.3 * torch.rand(40, 1, 64, 72) * torch.tensor([-1.0, 2.0, -1.0])[:, None, None]
    for photo in (gray, fringed):
        panels = as_seen(method.pairs(photo, torch.arange(40))[0], method)
        torch.testing.assert_close(panels[:, :, 0], panels[:, :, 1], atol=1e-3, rtol=0)


def test_pieces_come_from_their_cells_in_the_order_of_the_permutation(image):
    method = jigsaw()
    puzzle, index = method.puzzles(image, torch.arange(40))
    assert puzzle.shape == (40, 9, 3, 15, 15)
    starts = []
    for pieces, photo, order in list(zip(as_seen(puzzle, method), image, method.permutations[index], strict=True))[:6]:
        for piece, cell in zip(pieces, order.tolist(), strict=True):
            top, left = find(piece, photo)
            starts.append([top - cell // 3 * 21, left - cell % 3 * 24])
    assert torch.tensor(starts).amin(0).tolist() == [0, 0]
    assert torch.tensor(starts).amax(0).tolist() == [6, 9]


def test_gray_images_and_channels_that_are_moved(image):
    method = jigsaw(gray=0.4, channel_shift=2, patch=10)
    pieces = as_seen(method.puzzles(image, torch.arange(40))[0], method)
    gray = (pieces[:, :, :1] - pieces).abs().amax((1, 2, 3, 4)) < 1e-3
    assert 8 <= gray.sum() <= 24
    flat = torch.rand(40, 1, 64, 72) * torch.ones(3, 1, 1)
    moved = as_seen(jigsaw(channel_shift=2).puzzles(flat, torch.arange(40))[0], method)
    assert (moved[:, :, 0] - moved[:, :, 1]).abs().amax((1, 2, 3)).gt(0.1).float().mean() > 0.8


@pytest.mark.parametrize("grid", [2, 3])
def test_a_solved_jigsaw_is_the_image(grid: int, image, monkeypatch: pytest.MonkeyPatch):
    method, key = jigsaw(grid=grid), torch.arange(40)
    index = method.puzzles(image, key)[1]
    monkeypatch.setattr(method, "_solve", lambda pieces: F.one_hot(index, 24).float())
    panels = method.images(image, key)
    side = 64 // grid * grid
    width = (panels["solved"].shape[2] - side) // 2
    assert torch.equal(panels["solved"][:, :, width:-width, width:-width], image[:, :, :side, :side])
    assert not torch.equal(panels["shuffled"], image[:, :, :side, :side])
    assert (panels["solved"][:, 1, 0, 0] > panels["solved"][:, 0, 0, 0]).all()  # green


def test_images_turned_back_and_patches_where_they_were_thought_to_be(image, monkeypatch: pytest.MonkeyPatch):
    method, key, square = Rotation(TinyConv(dim=8)), torch.arange(40), image[..., :64]
    monkeypatch.setattr(method, "turns", lambda turned: _which(turned, square))
    back = method.images(square, key)["turned back"]
    assert torch.equal(back[:, :, 3:-3, 3:-3], square)
    patches = relative()
    position = patches.pairs(image, key)[1]
    monkeypatch.setattr(patches, "_logits", lambda pair: F.one_hot(position, 8).float())
    panels = patches.images(image, key)
    assert torch.equal(panels["guessed"][:, :, 2:-2, 2:-2], panels["two patches"])
    first = panels["two patches"][:, :, 20:34, 20:34]
    assert torch.equal(first, torch.stack([p[:, t : t + 14, s : s + 14] for p, t, s in _firsts(patches, image, key)]))


def _which(turned: Tensor, image: Tensor) -> Tensor:
    every = torch.stack([image.rot90(k, (2, 3)) for k in range(4)], 1)  # (B, 4, 3, S, S)
    return (every == turned[:, None]).flatten(2).all(2).float()


def _firsts(method: RelativePatch, image: Tensor, sample_key: Tensor) -> list[tuple[Tensor, int, int]]:
    seen = as_seen(method.pairs(image, sample_key)[0], method)
    return [(photo, *find(pair[0], photo)) for pair, photo in zip(seen, image, strict=True)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: relative(patch=30)({"image": torch.rand(2, 3, 64, 64), "sample_key": torch.arange(2)}),
            "wanted 106 pixels",
        ),
        (lambda: relative(color="gray"), "drop, project or keep"),
        (
            lambda: jigsaw(patch=25)({"image": torch.rand(2, 3, 64, 64), "sample_key": torch.arange(2)}),
            "cells of 21 x 21",
        ),
        (lambda: jigsaw(grid=4), "2 or 3 cells"),
        (lambda: jigsaw(grid=2, permutations=25), "4 pieces have 24 permutations"),
    ],
)
def test_what_cannot_be_cut_is_refused(make, message: str):
    with pytest.raises(InputError, match=message):
        make()
