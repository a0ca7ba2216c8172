from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcontrast.evals.ranking import hit_probability, recall_at, topk_hits


def test_topk_hits_by_hand():
    scores = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
    target = torch.tensor([0, 1, 2])
    assert topk_hits(scores, target, 1).tolist() == [1, 0, 0]
    assert topk_hits(scores, target, 2).tolist() == [1, 1, 0]
    assert topk_hits(scores, target, 5).tolist() == [1, 1, 1]


def test_equal_scores_give_chance():
    scores, target = torch.zeros(4, 8), torch.tensor([0, 3, 7, 0])
    assert topk_hits(scores, target, 1).tolist() == pytest.approx([1 / 8] * 4)
    assert topk_hits(scores, target, 5).tolist() == pytest.approx([5 / 8] * 4)
    tied_for_second = torch.tensor([[9.0, 5, 5, 5, 1]])
    assert topk_hits(tied_for_second, torch.tensor([2]), 1).item() == 0
    assert topk_hits(tied_for_second, torch.tensor([2]), 2).item() == pytest.approx(1 / 3)
    assert topk_hits(tied_for_second, torch.tensor([2]), 3).item() == pytest.approx(2 / 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.integers(1, 8))
def test_hit_probability_is_the_share_of_orders_that_hit(better, tied, positives, k):
    orders = list(permutations([True] * positives + [False] * tied))
    share = sum(any(([False] * better + list(order))[:k]) for order in orders) / len(orders)
    counts = [torch.tensor([count]) for count in (better, tied, positives)]
    assert hit_probability(*counts, k).item() == pytest.approx(share)


def test_recall_by_hand():
    # Three images on the axes; two captions each, of which image 2's lie nearer to images 0 and 1.
    images = torch.eye(3)
    captions = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0, 1], [0.9, 0, 0.435], [0, 0.9, 0.436]])
    image_group, caption_group = torch.arange(3), torch.tensor([0, 0, 1, 1, 2, 2])
    # image 0: caption 0 (1.0), its own.  image 1: caption 2 (1.0), its own.  image 2: caption 3 (1.0), wrong;
    # then caption 5 (.436), its own.
    assert recall_at(images, captions, image_group, caption_group, ks=(1, 2)) == pytest.approx({1: 2 / 3, 2: 1.0})
    # caption 0 -> image 0 right; 1 -> image 1 wrong, then 0; 2 -> 1 right; 3 -> 2 wrong, then 0 and 1 tie at 0;
    # 4 -> 0 wrong, then 2; 5 -> 1 wrong, then 2.
    found = recall_at(captions, images, caption_group, image_group, ks=(1, 2, 3))
    assert found == pytest.approx({1: 2 / 6, 2: (2 + 3 + 0.5) / 6, 3: 1.0})


def test_recall_equals_brute_force_in_any_block_size():
    generator = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(40, 6, generator=generator), dim=1)
    captions = torch.nn.functional.normalize(torch.randn(200, 6, generator=generator), dim=1)
    owner = torch.arange(40).repeat_interleave(5)
    order = (images @ captions.T).argsort(1, descending=True)
    expected = {k: (owner[order[:, :k]] == torch.arange(40)[:, None]).any(1).double().mean().item() for k in (1, 5, 10)}
    for cells in (1, 1000, 1 << 24):
        assert recall_at(images, captions, torch.arange(40), owner, cells=cells) == pytest.approx(expected)


def test_a_collapsed_model_gets_chance_not_everything():
    n = 50
    same = torch.ones(n, 4) / 2
    assert recall_at(same, same, torch.arange(n), torch.arange(n)) == pytest.approx({1: 1 / n, 5: 5 / n, 10: 10 / n})


def test_equal_vectors_tie_wherever_they_stand_in_the_matrix():
    generator = torch.Generator().manual_seed(1)
    vector = torch.nn.functional.normalize(torch.randn(1, 384, generator=generator), dim=1)
    candidates = vector.expand(1003, -1).contiguous()
    group = torch.arange(1003)
    assert recall_at(vector.expand(3, -1), candidates, torch.tensor([0, 500, 1002]), group, ks=(10,))[10] == (
        pytest.approx(10 / 1003)
    )
