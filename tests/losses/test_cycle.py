import math

import pytest
import torch

from mmcontrast.losses.cycle import contrastive_random_walk


def oracle(features, temperature, edges=None):
    """The definition, one clip and one starting node at a time."""
    total, terms = 0.0, 0
    for b, clip in enumerate(features.tolist()):
        frames = [[[v / math.hypot(*node) for v in node] for node in frame] for frame in clip]
        nodes = len(frames[0])

        def step(probability, t, to, frames=frames, nodes=nodes, b=b):
            out = [0.0] * nodes
            for i, p in enumerate(probability):
                free = [edges is None or bool(edges[0 if to > t else 1][b, min(t, to), i, j]) for j in range(nodes)]
                if not any(free):
                    free = [True] * nodes
                scores = [
                    math.exp(sum(x * y for x, y in zip(frames[t][i], frames[to][j], strict=True)) / temperature)
                    * free[j]
                    for j in range(nodes)
                ]
                out = [o + p * s / sum(scores) for o, s in zip(out, scores, strict=True)]
            return out

        for length in range(1, len(frames)):
            for start in range(nodes):
                probability = [float(i == start) for i in range(nodes)]
                for t in range(length):
                    probability = step(probability, t, t + 1)
                for t in range(length, 0, -1):
                    probability = step(probability, t, t - 1)
                total -= math.log(probability[start])
                terms += 1
    return total / terms


@pytest.mark.parametrize("dropped", [False, True])
def test_against_the_definition(dropped):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 5, 3, generator=generator, dtype=torch.float64)
    edges = None
    if dropped:
        edges = (torch.rand(2, 2, 3, 5, 5, generator=generator) > 0.3).unbind(0)
        edges[0][0, 1, 2] = False  # a node without an edge
    loss, returned = contrastive_random_walk(features, 0.5, edges)
    assert loss.item() == pytest.approx(oracle(features, 0.5, edges), rel=1e-9)
    assert 0 <= returned <= 1


def test_a_still_video_of_distinct_nodes_returns():
    nodes = torch.eye(6)[None, None].expand(1, 3, -1, -1)
    loss, returned = contrastive_random_walk(nodes, 0.05)
    assert loss < 1e-3
    assert returned == 1
