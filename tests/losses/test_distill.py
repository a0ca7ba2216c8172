import math

import pytest
import torch
import torch.nn.functional as F

from mmcontrast.errors import InputError
from mmcontrast.losses.distill import center_and_sharpen, dino_loss, ibot_loss, koleo, sinkhorn
from mmcontrast.losses.reconstruct import masked_patches


def test_dino_loss_is_the_mean_over_pairs_of_different_views():
    torch.manual_seed(0)
    student = torch.randn(5, 3, 7, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 3, 7, dtype=torch.float64).softmax(-1)
    pairs = [(t, s) for t in range(2) for s in range(5) if s != t]
    slow = sum(-(teacher[t] * F.log_softmax(student[s] / 0.1, -1)).sum(-1).mean() for t, s in pairs) / len(pairs)
    loss = dino_loss(student, teacher, 0.1)
    torch.testing.assert_close(loss, slow, rtol=1e-12, atol=0)
    expected, actual = (torch.autograd.grad(value, student)[0] for value in (slow, loss))
    torch.testing.assert_close(actual, expected)
    with torch.autocast("cpu", torch.bfloat16):
        full = dino_loss(student.detach().float(), teacher.float(), 0.1)
    torch.testing.assert_close(full, loss.detach().float(), rtol=1e-6, atol=0)
    assert dino_loss(student.bfloat16(), teacher.bfloat16(), 0.1).dtype == torch.float32


def test_patch_loss_weighs_each_image_alike():
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 5), torch.randn(4, 5).softmax(-1)  # 3 hidden patches of one image, 1 of another
    entropy = -(teacher * F.log_softmax(student / 0.2, -1)).sum(-1)
    weight = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0])
    expected = (entropy[:3].mean() + entropy[3]) / 3  # and one without any
    assert math.isclose(ibot_loss(student, teacher, weight, 3, 0.2), expected, rel_tol=1e-6)
    assert ibot_loss(student[:0], teacher[:0], weight[:0], 3, 0.2) == 0


def test_koleo_by_hand():
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert math.isclose(koleo(features), -math.log(math.sqrt(2) + 1e-8), rel_tol=1e-6)
    twins = torch.ones(2, 3, requires_grad=True)
    koleo(twins).backward()
    assert twins.grad.isfinite().all()
    with pytest.raises(InputError, match="at least 2"):
        koleo(features[:1])


def test_sinkhorn_uses_all_prototypes_alike():
    torch.manual_seed(0)
    logits = torch.randn(64, 8).clamp(-1, 1) + torch.linspace(0, 0.5, 8)
    actual = sinkhorn(logits, torch.tensor(0.1), iterations=50)
    torch.testing.assert_close(actual.sum(1), torch.ones(64))
    torch.testing.assert_close(actual.sum(0), torch.full((8,), 8.0), rtol=1e-3, atol=1e-3)
    log = actual.log() - logits / 0.1  # a row's and a column's constant, so that it is the closest such matrix
    assert (log - log.mean(0) - log.mean(1, keepdim=True) + log.mean()).abs().max() < 1e-3
    assert sinkhorn(logits[:0], torch.tensor(0.1)).shape == (0, 8)


def test_centered_softmax():
    logits, center = torch.tensor([[0.1, 0.3]]), torch.tensor([0.0, 0.1])
    expected = 1 / (1 + math.exp((0.2 - 0.1) / 0.05))
    assert math.isclose(center_and_sharpen(logits, center, torch.tensor(0.05))[0, 0], expected, rel_tol=1e-5)


def test_masked_patches_are_compared_in_their_own_units():
    torch.manual_seed(0)
    target, hidden = torch.rand(2, 3, 12), torch.tensor([[True, False, False], [False, True, False]])
    prediction = torch.randn(2, 3, 12)
    slow = 0.0
    for b, n in ((0, 0), (1, 1)):
        patch = target[b, n]
        slow += ((prediction[b, n] - (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()) ** 2).mean() / 2
    assert math.isclose(masked_patches(prediction, target, hidden), slow, rel_tol=1e-5)
    plain = (prediction - target)[hidden].square().mean()
    assert math.isclose(masked_patches(prediction, target, hidden, normalize=False), plain, rel_tol=1e-5)
