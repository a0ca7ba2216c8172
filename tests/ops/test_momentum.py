import math

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from mmcontrast.errors import InputError
from mmcontrast.ops.momentum import Queue, cosine_momentum, ema_copy, ema_update


def test_an_ema_copy_follows_its_network_and_never_drops_anything():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5), DropPath(0.5))
    teacher = ema_copy(network)
    assert not any(p.requires_grad for p in teacher.parameters())
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1)
    ema_update(teacher, network, 0.9)
    for old, p, target in zip(before, teacher.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(p, 0.9 * old + 0.1 * target)
    x = torch.randn(4, 3)
    assert torch.equal(teacher(x), teacher(x))
    assert network[2].p == network[3].drop_prob == 0.5


def test_momentum_rises_to_one():
    assert cosine_momentum(0.9, 0) == pytest.approx(0.9)
    assert cosine_momentum(0.9, 0.5) == pytest.approx(0.95)
    assert cosine_momentum(0.9, 1) == 1
    assert math.isclose(cosine_momentum(0.99, 0.25), 1 - 0.01 * (math.cos(math.pi / 4) + 1) / 2)


@pytest.mark.parametrize("batches", [[2, 2, 2], [3, 3, 3, 3], [4], [5, 1], [9], [1] * 11])
def test_the_queue_keeps_the_newest(batches):
    queue, history = Queue(4, 3), []
    assert torch.allclose(queue.vectors.norm(dim=1), torch.ones(4))
    for i, count in enumerate(batches):
        rows = 10.0 * i + torch.arange(count)[:, None].expand(-1, 3)
        queue.push(rows)
        history += list(rows)
    newest = {float(row[0]) for row in history[-4:]}
    assert newest <= set(queue.vectors[:, 0].tolist())
    assert queue.oldest == sum(min(b, 4) for b in batches) % 4
    order = queue.vectors.roll(-int(queue.oldest), 0)[:, 0]  # oldest first
    assert order[-len(newest) :].tolist() == [float(row[0]) for row in history[-4:]]


def test_an_empty_queue_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        Queue(0, 3)
