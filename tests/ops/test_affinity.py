import pytest
import torch
import torch.nn.functional as F

from mmcontrast.ops.affinity import Window, affinity, attend, propagate

H, W, D, C = 13, 17, 16, 3
WINDOWS = [None, Window(3), Window(4, "circle"), Window(1), Window(50)]


def video(frames: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(frames)
    features = F.normalize(torch.randn(frames, H, W, D, generator=generator), dim=-1)
    return features.to(dtype), torch.rand(frames, H, W, C, generator=generator)


def dense(features, labels, temperature, topk, window, everywhere=0):
    """The formula, one query at a time, in float64: labels of the last frame from those before it."""
    *context, query = features.double()
    out = torch.zeros(H, W, C, dtype=torch.float64)
    for y in range(H):
        for x in range(W):
            scores, values = [], []
            for t, frame in enumerate(context):
                for v in range(H):
                    for u in range(W):
                        distance = max(abs(v - y), abs(u - x))
                        if window is not None and window.shape == "circle":
                            distance = ((v - y) ** 2 + (u - x) ** 2) ** 0.5
                        if window is None or t < everywhere or distance <= window.radius:
                            scores.append(frame[v, u] @ query[y, x])
                            values.append(labels[t, v, u].double())
            best = torch.stack(scores).topk(min(topk or len(scores), len(scores)))
            out[y, x] = (best.values / temperature).softmax(0) @ torch.stack(values)[best.indices]
    return out


@pytest.mark.parametrize(
    ("topk", "window", "everywhere"),
    [(None, None, 0), (5, Window(3), 0), (10, Window(4, "circle"), 1), (None, Window(2), 1)],
)
def test_both_forms_give_the_formula(topk, window, everywhere):
    features, labels = video(3)
    wanted = dense(features, labels, 0.1, topk, window, everywhere)
    fast = propagate(features[-1], features[:-1], labels[:-1], 0.1, topk, window, everywhere, tile=5)
    assert (fast - wanted).abs().max() < 1e-5
    if not everywhere:
        trained = attend(
            features[-1].permute(2, 0, 1)[None], features[:-1].permute(0, 3, 1, 2)[None],
            labels[:-1].permute(0, 3, 1, 2)[None], 0.1, topk, window, tile=6,
        )  # fmt: skip
        assert (trained[0].permute(1, 2, 0) - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("topk", [None, 1, 5, 12])
@pytest.mark.parametrize("tile", [4, 12, 40])
def test_tiles_do_not_change_labels(window, topk, tile):
    features, labels = video(4)
    scores = features[-1].flatten(0, 1) @ features[:-1].flatten(0, 2).T
    if window is not None:
        scores = scores.masked_fill(~window.mask(H, W).repeat(1, 3), float("-inf"))
    kept = scores.topk(topk or scores.shape[1], dim=1)
    wanted = torch.zeros_like(scores).scatter(1, kept.indices, (kept.values / 0.07).softmax(1))
    got = propagate(features[-1], features[:-1], labels[:-1], 0.07, topk, window, tile=tile)
    assert (got.flatten(0, 1) - wanted @ labels[:-1].flatten(0, 2)).abs().max() < 1e-5


def test_a_window_smaller_than_topk_copies_what_there_is():
    features, labels = video(2)
    got = propagate(features[1], features[:1], labels[:1], 0.1, topk=5, window=Window(0))
    assert torch.allclose(got, labels[0])


def test_bfloat16_stays_close():
    features, labels = video(4)
    full = propagate(features[-1], features[:-1], labels[:-1], 0.5, None, Window(4))
    half = propagate(features[-1].bfloat16(), features[:-1].bfloat16(), labels[:-1], 0.5, None, Window(4))
    assert half.dtype == torch.float32
    assert (full - half).abs().max() < 5e-3


def test_rows_sum_to_one_and_topk_counts():
    query, keys = torch.randn(2, 7, D), torch.randn(2, 30, D)
    weights = affinity(query, keys, 0.5, topk=4)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 7))
    assert ((weights > 0).sum(-1) == 4).all()


@pytest.mark.parametrize(("topk", "window"), [(None, None), (3, Window(2)), (None, Window(2.5, "circle"))])
def test_gradients_of_the_training_form(topk, window):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(1, 2, 4, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    values = torch.rand(1, 2, 3, 5, 6, generator=generator, dtype=torch.float64)
    probe = torch.randn(1, 3, 5, 6, generator=generator, dtype=torch.float64)

    def loss(q, k):
        return (attend(q, k, values, 0.7, topk, window, tile=3) * probe).sum()

    loss(query, keys).backward()
    for tensor in (query, keys):
        direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        step = 1e-3 * direction
        with torch.no_grad():
            ahead = loss(query + step, keys) if tensor is query else loss(query, keys + step)
            behind = loss(query - step, keys) if tensor is query else loss(query, keys - step)
        slope = (tensor.grad * direction).sum()
        assert abs((ahead - behind) / 2e-3 - slope) < 1e-4 * max(1, abs(slope))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("window", WINDOWS)
def test_gpu_equals_cpu(window):
    features, labels = video(4)
    on_cpu = propagate(features[-1], features[:-1], labels[:-1], 0.1, 5, window)
    on_gpu = propagate(features[-1].cuda(), features[:-1].cuda(), labels[:-1].cuda(), 0.1, 5, window)
    assert (on_gpu.cpu() - on_cpu).abs().max() < 1e-4
