import pytest
import torch
from torch.nn import functional as F

from mmcontrast.losses.dense import distance_weight, match_loss, non_match_loss, pixel_info_nce, triplet_loss


def problem(dim=3, seed=0, batch=2, anchors=7, non_matches=5, height=6, width=9):
    g = torch.Generator().manual_seed(seed)
    return {
        "anchor": torch.randn(batch, anchors, dim, generator=g, dtype=torch.float32).mul(0.3).requires_grad_(),
        "image_b": torch.randn(batch, dim, height, width, generator=g).mul(0.3).requires_grad_(),
        "non_match": torch.randint(0, height * width, (batch, anchors, non_matches), generator=g),
        "counts": torch.rand(batch, anchors, generator=g) < 0.7,
    }


def slow_non_match(anchor, image_b, non_match, counts, margin, weight=None):
    """Equations 2 and 3, one pixel pair after the other."""
    losses, actives = [], []
    width = image_b.shape[3]
    for i in range(len(anchor)):
        total, active = torch.zeros((), dtype=anchor.dtype), 0
        for n in range(anchor.shape[1]):
            for k in range(non_match.shape[2]):
                index = int(non_match[i, n, k])
                b = image_b[i, :, index // width, index % width]
                hinge = margin - (anchor[i, n] - b).norm()
                if counts[i, n] and hinge > 0:
                    total = total + (1 if weight is None else weight[i, n, k]) * hinge**2
                    active += 1
        losses.append(total / max(active, 1))
        actives.append(active)
    return torch.stack(losses), actives


@pytest.mark.parametrize("dim", [2, 16])
@pytest.mark.parametrize("weighted", [False, True])
def test_non_match_loss_is_the_papers_formula_with_its_gradients(dim, weighted):
    case = problem(dim)
    weight = torch.rand(case["non_match"].shape) if weighted else None
    loss, active = non_match_loss(**case, margin=1.0, weight=weight)
    upstream = torch.tensor([1.0, 3.0])
    grads = torch.autograd.grad(loss @ upstream, [case["anchor"], case["image_b"]])
    double = {k: v.detach().double().requires_grad_() if v.is_floating_point() else v for k, v in case.items()}
    slow, slow_active = slow_non_match(**double, margin=1.0, weight=weight)
    slow_grads = torch.autograd.grad(slow @ upstream.double(), [double["anchor"], double["image_b"]])
    assert active.tolist() == slow_active
    assert 0 < active.sum() < case["non_match"].numel()
    torch.testing.assert_close(loss, slow.float())
    for grad, expected in zip(grads, slow_grads, strict=True):
        torch.testing.assert_close(grad, expected.float(), rtol=1e-5, atol=1e-6)


def test_hard_negatives_are_counted_not_all_of_them():
    anchor = torch.zeros(1, 1, 1)
    image_b = torch.tensor([0.1, 9.0, 9.0, 9.0]).view(1, 1, 2, 2)
    loss, active = non_match_loss(anchor, image_b, torch.tensor([[[0, 1, 2, 3]]]), torch.tensor([[True]]), margin=0.5)
    assert active.item() == 1
    torch.testing.assert_close(loss, torch.tensor([0.16]))


def test_every_pair_of_a_batch_has_its_own_mean():
    case = problem()
    together = non_match_loss(**case)[0]
    alone = [non_match_loss(**{k: v[i : i + 1] for k, v in case.items()})[0] for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_pair_without_terms_gives_zero_and_a_finite_gradient():
    case = problem()
    nothing = torch.zeros_like(case["counts"])
    loss, active = non_match_loss(**{**case, "counts": nothing})
    match = match_loss(case["anchor"], case["anchor"] + 1, nothing)
    (loss.sum() + match.sum()).backward()
    assert loss.tolist() == [0, 0]
    assert match.tolist() == [0, 0]
    assert active.tolist() == [0, 0]
    assert case["anchor"].grad.abs().max() == 0


def test_equal_descriptors_have_the_full_penalty_and_no_nan():
    anchor, image_b = torch.zeros(1, 1, 3, requires_grad=True), torch.zeros(1, 3, 1, 2, requires_grad=True)
    loss, _ = non_match_loss(anchor, image_b, torch.tensor([[[0, 1]]]), torch.tensor([[True]]), margin=0.5)
    loss.sum().backward()
    assert loss.item() == 0.25
    assert torch.isfinite(anchor.grad).all()


def test_match_loss_by_hand_and_padding_ignored():
    a, b = torch.tensor([[[0.0, 0], [1, 1], [5, 5]]]), torch.tensor([[[3.0, 4], [1, 2], [0, 0]]])
    torch.testing.assert_close(match_loss(a, b, torch.tensor([[True, True, False]])), torch.tensor([13.0]))


def test_half_precision_is_summed_in_single():
    case = problem(16)
    half = {k: v.half() if v.is_floating_point() else v for k, v in case.items()}
    assert non_match_loss(**half)[0].dtype == torch.float32
    torch.testing.assert_close(non_match_loss(**half)[0], non_match_loss(**case)[0], rtol=1e-2, atol=1e-3)


def test_distance_weight_saturates():
    width = 100
    non_match = torch.tensor([[[0, 3 + 4 * width, 99]]])
    weight = distance_weight(torch.zeros(1, 1, 2), non_match, width, saturation=50)
    torch.testing.assert_close(weight, torch.tensor([[[0.0, 0.1, 1.0]]]))


def test_the_triplet_hinge_is_of_the_summed_distance():
    # Per channel the hinge of 4 - 0 + .5 and 0 - 9 + .5 would leave 4.5; that of the sums, 4 - 9 + .5, is 0.
    anchor = torch.zeros(1, 1, 2)
    positive, negative = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[[0.0, 3.0]]]])
    assert triplet_loss(anchor, positive, negative, torch.tensor([[True]]), margin=0.5).item() == 0
    assert triplet_loss(anchor, positive, negative, torch.tensor([[True]]), margin=6.0).item() == 1.0


@pytest.mark.parametrize("further", [0, 9])
def test_pixel_info_nce_is_a_softmax_over_the_matches_of_its_pair(further):
    g = torch.Generator().manual_seed(1)
    a, b = (F.normalize(torch.randn(2, 12, 4, generator=g), dim=-1).requires_grad_() for _ in range(2))
    match_b = torch.rand(2, 12, 2, generator=g) * 40
    is_match = torch.rand(2, 12, generator=g) < 0.8
    others = F.normalize(torch.randn(2, further, 4, generator=g), dim=-1), torch.rand(2, further, 2, generator=g) * 40
    loss = pixel_info_nce(a, b, match_b, is_match, 0.2, 10, others if further else None)
    expected = []
    for i in range(2):
        keep = is_match[i].nonzero()[:, 0]
        logits = a[i, keep] @ torch.cat([b[i, keep], others[0][i]]).T / 0.2
        cells = (torch.cat([match_b[i, keep], others[1][i]]) / 10).floor()
        same = (cells[: len(keep), None] == cells).all(-1)
        same.fill_diagonal_(False)
        assert same.any()
        logits = logits.masked_fill(same, -torch.inf)
        target = torch.arange(len(keep))
        expected.append((F.cross_entropy(logits, target) + F.cross_entropy(logits[:, : len(keep)].T, target)) / 2)
    torch.testing.assert_close(loss, torch.stack(expected))
    grads = torch.autograd.grad(loss.sum(), [a, b], retain_graph=True)
    for grad, expected_grad in zip(grads, torch.autograd.grad(sum(expected), [a, b]), strict=True):
        torch.testing.assert_close(grad, expected_grad)


def test_pixel_info_nce_of_a_pair_without_matches_is_zero():
    a = torch.randn(1, 3, 4, requires_grad=True)
    loss = pixel_info_nce(a, a, torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool))
    loss.sum().backward()
    assert loss.tolist() == [0]
    assert a.grad.abs().max() == 0
