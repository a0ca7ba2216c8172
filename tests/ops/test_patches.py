import pytest
import torch

from mmcontrast.errors import InputError
from mmcontrast.ops.patches import (
    block_mask,
    cut,
    framed,
    paste,
    patchify,
    random_mask,
    sincos_positions,
    standardize,
    unpatchify,
)


def test_patches_in_reading_order_and_back():
    image = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    patches = patchify(image, 2)
    assert patches.shape == (2, 6, 12)
    second_row_third = image[1, :, 2:4, 4:6].permute(1, 2, 0).flatten()
    assert torch.equal(patches[1, 5], second_row_third)
    assert torch.equal(unpatchify(patches, 2, 4, 6), image)
    with pytest.raises(InputError, match="cannot be cut"):
        patchify(image, 4)


def test_position_embeddings_differ_and_depend_on_distance_only():
    positions = sincos_positions(5, 7, 16).view(5, 7, 16)
    inner = lambda a, b: float(positions[a] @ positions[b])
    assert inner((0, 0), (1, 2)) == pytest.approx(inner((3, 4), (4, 6)), rel=1e-5)
    assert positions.flatten(0, 1).unique(dim=0).shape == (35, 16)
    assert positions[0, 0].tolist() == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    with pytest.raises(InputError, match="multiple of 4"):
        sincos_positions(2, 2, 6)


def test_random_masks_hide_their_fraction_of_each_image_by_its_key():
    key = torch.arange(2000)
    keep, hidden = random_mask(key, 16, 0.75, stream=1)
    assert keep.shape == (2000, 4)
    assert (hidden.sum(1) == 12).all()
    assert not hidden.gather(1, keep).any()
    assert (keep.diff(dim=1) > 0).all()
    assert (hidden.float().mean(0) - 0.75).abs().max() < 0.05  # no place is preferred
    again, _ = random_mask(key[5:9], 16, 0.75, stream=1)
    assert torch.equal(again, keep[5:9])
    assert random_mask(key[:1], 16, 0.999, stream=1)[0].shape == (1, 1)
    assert random_mask(key[:1], 16, 0.001, stream=1)[0].shape == (1, 15)


def test_block_masks_hide_rectangles():
    hidden = block_mask(torch.arange(3000), 14, 14, stream=1)
    count = hidden.sum(1)
    assert abs((count > 0).float().mean() - 0.5) < 0.03
    some = hidden[count > 0].float().view(-1, 14, 14)
    share = some.mean((1, 2))
    assert share.min() >= round(0.1 * 196) / 196
    assert share.max() <= 0.5
    assert abs(share.mean() - 0.3) < 0.01
    right = (some[:, :, 1:] * some[:, :, :-1]).sum((1, 2)) / some[:, :, :-1].sum((1, 2)).clamp(min=1)
    assert (right - share).mean() > 0.35  # a hidden patch's neighbor is hidden far more often than any patch
    assert torch.equal(block_mask(torch.arange(7, 9), 14, 14, stream=1), hidden[7:9])
    assert block_mask(torch.arange(50), 2, 2, stream=1, probability=1.0).any(1).all()


def test_squares_anywhere_cut_and_pasted():
    image = torch.rand(2, 3, 9, 11)
    top, left = torch.tensor([[0, 5], [6, 1]]), torch.tensor([[8, 0], [2, 7]])
    squares = cut(image, top, left, 3)
    assert squares.shape == (2, 2, 3, 3, 3)
    assert torch.equal(squares[1, 0], image[1, :, 6:9, 2:5])
    assert torch.equal(squares[0, 1], image[0, :, 5:8, 0:3])
    sheet = paste(squares, top, left.clamp(max=6), 9)
    assert torch.equal(sheet[1, :, 6:9, 2:5], squares[1, 0])
    assert (sheet == 0.5).all(1).sum(dim=(1, 2)).tolist() == [81 - 18] * 2


def test_patches_are_standardised_by_channel_and_flat_ones_vanish():
    patches = torch.rand(4, 2, 3, 5, 5) * 7
    patches[0, 0, 1] = 2.5
    found = standardize(patches)
    assert found[0, 0, 1].abs().max() == 0
    assert found[1:].mean((-2, -1)).abs().max() < 1e-5
    torch.testing.assert_close(found[1:].std((-2, -1), correction=0), torch.ones(3, 2, 3), atol=1e-3, rtol=0)


def test_frames_are_green_or_red_and_around():
    image = torch.rand(2, 3, 24, 30)
    found = framed(image, torch.tensor([True, False]))
    assert found.shape == (2, 3, 26, 32)
    assert torch.equal(found[:, :, 1:-1, 1:-1], image)
    assert found[0, 1, 0, 0] > found[0, 0, 0, 0]
    assert found[1, 0, -1, -1] > found[1, 1, -1, -1]
