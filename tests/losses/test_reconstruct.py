import pytest
import torch
import torch.nn.functional as F

from mmcontrast.losses import adversarial_loss, color_bins, inpainting_loss


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_the_border_of_a_hole_weighs_ten_times_and_nothing_else_counts():
    target = torch.zeros(2, 3, 2, 2)
    prediction = target.clone()
    prediction[0, :, 0, 0] = 3.0  # in the hole
    prediction[0, :, 0, 1] = 2.0  # beside it
    prediction[0, :, 1, 1] = 100.0  # elsewhere
    hole, border = torch.zeros(2, 2, 1, 2, 2, dtype=torch.bool)
    hole[:, :, 0, 0], border[:, :, 0, 1] = True, True
    loss = inpainting_loss(prediction, target, hole, border)
    assert float(loss) == pytest.approx((1 * 9 + 10 * 4) / 11 / 2)
    assert inpainting_loss(prediction.bfloat16(), target, hole, border).dtype == torch.float32


def test_colors_are_a_weighted_cross_entropy_of_soft_targets():
    logits = torch.randn(2, 7, 3, 4)
    z = torch.zeros(2, 7, 3, 4)
    index = torch.stack([torch.randperm(7)[:3] for _ in range(24)]).view(2, 3, 4, 3).permute(0, 3, 1, 2)
    probability = torch.rand(2, 3, 3, 4)
    probability /= probability.sum(1, keepdim=True)
    z.scatter_(1, index, probability)
    weight = torch.rand(7)
    expected = (weight[z.argmax(1)] * F.cross_entropy(logits, z, reduction="none")).mean()
    torch.testing.assert_close(color_bins(logits, index, probability, weight), expected)
    assert color_bins(logits.bfloat16(), index, probability, weight).dtype == torch.float32


def test_a_verdict_costs_its_logarithm():
    logits = torch.randn(5, 1, 2, 2)
    truth = torch.ones_like(logits)
    for real in (True, False):
        expected = F.binary_cross_entropy_with_logits(logits, truth * real)
        torch.testing.assert_close(adversarial_loss(logits, real), expected)
    assert adversarial_loss(logits.bfloat16(), True).dtype == torch.float32
