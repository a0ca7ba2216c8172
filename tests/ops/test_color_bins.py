import math

import pytest
import torch

from mmcontrast.errors import InputError
from mmcontrast.ops.color import rgb_to_lab
from mmcontrast.ops.color_bins import ColorBins, gamut_bins, rebalance


@pytest.fixture(scope="module")
def bins() -> ColorBins:
    return ColorBins()


@pytest.fixture(scope="module")
def ab() -> torch.Tensor:
    """(1, 2, 40, 50), colors of sRGB."""
    rgb = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    return rgb_to_lab(rgb)[:, 1:]


def test_about_313_bins_between_which_every_color_lies(bins: ColorBins, ab: torch.Tensor):
    centers = gamut_bins(10.0)
    assert len(centers) == 309
    assert (centers % 10 == 0).all()
    assert centers.unique(dim=0).shape == centers.shape
    found = {tuple(center) for center in centers.tolist()}
    for a, b in ab.flatten(2)[0].T.tolist():
        low, left = 10 * math.floor(a / 10), 10 * math.floor(b / 10)
        assert {(low, left), (low, left + 10), (low + 10, left), (low + 10, left + 10)} <= found


def test_soft_targets_are_gaussians_on_the_five_nearest_bins(bins: ColorBins, ab: torch.Tensor):
    index, weight = bins.encode(ab)
    assert index.shape == weight.shape == (1, 5, 40, 50)
    distance = torch.cdist(ab.flatten(2)[0].T, bins.centers)  # (N, Q)
    chosen = distance.gather(1, index.flatten(2)[0].T)  # (N, 5)
    z = torch.exp(-(chosen**2) / (2 * 5.0**2))
    torch.testing.assert_close(weight.flatten(2)[0].T, z / z.sum(1, keepdim=True), rtol=1e-4, atol=1e-5)
    nearest = distance.topk(5, largest=False).values
    assert (chosen.sort(1).values - nearest).abs().max() < 2**0.5  # looked up for the middle of a square unit
    torch.testing.assert_close(weight.sum(1), torch.ones(1, 40, 50))
    assert (index.flatten(2)[0, 0] == distance.argmin(1)).float().mean() > 0.99


def test_frequencies_count_every_pixel_once(bins: ColorBins, ab: torch.Tensor):
    index, weight = bins.encode(ab)
    frequencies = bins.frequencies(index, weight)
    dense = torch.zeros(1, len(bins.centers), 40, 50).scatter_add_(1, index, weight)
    torch.testing.assert_close(frequencies, dense.mean((0, 2, 3)))


def test_the_annealed_mean_goes_from_mode_to_mean(bins: ColorBins):
    logits = 3 * torch.randn(2, len(bins.centers), 3, 4, generator=torch.Generator().manual_seed(1))
    probability = logits.softmax(1)
    mean = torch.einsum("bqhw,qc->bchw", probability, bins.centers)
    torch.testing.assert_close(bins.annealed_mean(logits, 1.0), mean, rtol=1e-4, atol=1e-4)
    mode = bins.centers[logits.argmax(1)].permute(0, 3, 1, 2)
    torch.testing.assert_close(bins.annealed_mean(logits, 1e-4), mode, atol=0.1, rtol=0)
    sharp = torch.exp(probability.log() / 0.38)  # eq. 5
    wanted = torch.einsum("bqhw,qc->bchw", sharp / sharp.sum(1, keepdim=True), bins.centers)
    torch.testing.assert_close(bins.annealed_mean(logits), wanted, rtol=1e-4, atol=1e-4)


def test_weights_are_one_in_expectation_and_larger_for_the_rare():
    prior = torch.tensor([0.7, 0.2, 0.1, 0.0])
    weight = rebalance(prior, 0.5)
    assert float((prior * weight).sum()) == pytest.approx(1)
    mixed = 0.5 * prior + 0.5 / 4  # eq. 4
    torch.testing.assert_close(weight / weight[0], mixed[0] / mixed)
    torch.testing.assert_close(rebalance(prior, 1.0), torch.ones(4))


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="neighbors 0"):
        ColorBins(neighbors=0)
    with pytest.raises(InputError, match=r"only \d+ bins of step 100"):
        ColorBins(step=100.0, neighbors=50)
