"""The contrastive losses against oracles written from the papers' formulas, on every way the tiles can fall."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mmcontrast.errors import InputError
from mmcontrast.losses import clip_loss, info_nce, mutual_information_bound, nt_xent, siglip_loss, streaming, tiles

Loss = Callable[..., Tensor]


def clip_oracle(image: Tensor, text: Tensor, scale: Tensor, ids: list[int] | None = None) -> Tensor:
    """Mean over samples and both directions of -log(exp(s x_i y_i) / sum_j exp(s x_i y_j)), j = i or of another id."""
    n = len(image)
    ids = list(range(n)) if ids is None else ids
    total = torch.zeros((), dtype=image.dtype)
    for i in range(n):
        rivals = [j for j in range(n) if j == i or ids[j] != ids[i]]
        positive = torch.exp(scale * (image[i] @ text[i]))
        total = total - torch.log(positive / sum(torch.exp(scale * (image[i] @ text[j])) for j in rivals))
        total = total - torch.log(positive / sum(torch.exp(scale * (image[j] @ text[i])) for j in rivals))
    return total / (2 * n)


def siglip_oracle(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: list[int] | None = None) -> Tensor:
    """-1/N sum_ij log sigmoid(z_ij (s x_i y_j + b)), z_ij = 1 for i = j, else -1; repeats of an id left out."""
    n = len(image)
    ids = list(range(n)) if ids is None else ids
    total = torch.zeros((), dtype=image.dtype)
    for i in range(n):
        for j in range(n):
            if i == j or ids[i] != ids[j]:
                sign = 1 if i == j else -1
                total = total - torch.log(1 / (1 + torch.exp(-sign * (scale * (image[i] @ text[j]) + bias))))
    return total / n


def nt_xent_oracle(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
    """Mean over 2N views of -log(exp(z_i z_p / T) / sum over k other than i of exp(z_i z_k / T))."""
    views, n = [*a, *b], len(a)
    total = torch.zeros((), dtype=a.dtype)
    for i, z in enumerate(views):
        partner = torch.exp(z @ views[(i + n) % (2 * n)] / temperature)
        total = total - torch.log(partner / sum(torch.exp(z @ y / temperature) for k, y in enumerate(views) if k != i))
    return total / (2 * n)


def info_nce_oracle(query: Tensor, key: Tensor, temperature: Tensor, negatives: Tensor | None = None) -> Tensor:
    """Mean of -log(exp(q k+ / T) / (exp(q k+ / T) + sum over negatives of exp(q k / T)))."""
    total = torch.zeros((), dtype=query.dtype)
    for i, q in enumerate(query):
        others = [k for j, k in enumerate(key) if j != i] if negatives is None else list(negatives)
        positive = torch.exp(q @ key[i] / temperature)
        total = total - torch.log(positive / (positive + sum(torch.exp(q @ k / temperature) for k in others)))
    return total / len(query)


QUEUE = F.normalize(torch.randn(11, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), dim=1)
IDS = [0, 1, 0, 2, 3, 1, 4, 0, 5, 6, 7, 5, 8]

CASES: dict[str, tuple[Loss, Loss, tuple[float, ...]]] = {
    "clip": (clip_loss, clip_oracle, (14.0,)),
    "clip, repeats": (
        lambda a, b, s: clip_loss(a, b, s, torch.tensor(IDS[: len(a)])),
        lambda a, b, s: clip_oracle(a, b, s, IDS[: len(a)]),
        (14.0,),
    ),
    "siglip": (siglip_loss, siglip_oracle, (10.0, -5.0)),
    "siglip, repeats": (
        lambda a, b, s, t: siglip_loss(a, b, s, t, torch.tensor(IDS[: len(a)])),
        lambda a, b, s, t: siglip_oracle(a, b, s, t, IDS[: len(a)]),
        (10.0, -5.0),
    ),
    "nt_xent": (nt_xent, nt_xent_oracle, (0.1,)),
    "info_nce": (info_nce, info_nce_oracle, (0.07,)),
    "info_nce, queue": (
        lambda a, b, t: info_nce(a, b, t, negatives=QUEUE.to(a.dtype)),
        lambda a, b, t: info_nce_oracle(a, b, t, QUEUE),
        (0.07,),
    ),
}


# largest dense problem, tile's edge, logits kept, whether exponentials are shifted by a maximum though none needs it
PATHS = {
    "dense": (10**6, 512, 0.0, False),
    "one tile": (0, 512, 2.0, False),
    "one tile, shifted": (0, 512, 2.0, True),
    "ragged tiles": (0, 4, 0.0, False),
    "ragged tiles, shifted": (0, 4, 0.0, True),
    "some tiles kept": (0, 4, 1.0, False),
    "some tiles kept, shifted": (0, 4, 1.0, True),
    "tiles of one": (0, 1, 0.0, False),
}


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, edge, keep, shifted = PATHS[request.param]
    monkeypatch.setattr(streaming, "_DENSE", dense)
    monkeypatch.setitem(tiles._EDGE, "cpu", edge)
    monkeypatch.setattr(streaming, "_KEEP", keep)
    if shifted:
        monkeypatch.setattr(streaming, "_bounded", lambda *_: False)


def _pair(n: int, dim: int = 6, seed: int = 0, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two (n, dim) sets of float64 unit vectors, row i of one near row i of the other."""
    draw = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(n, dim, dtype=torch.float64, generator=draw), dim=1)
    b = F.normalize(a + noise * torch.randn(n, dim, dtype=torch.float64, generator=draw) / dim**0.5, dim=1)
    return a, b


def _value_and_gradients(loss: Loss, *inputs: Tensor | float) -> list[Tensor]:
    """The () loss and the gradient of each input, which may be numbers."""
    leaves = [torch.as_tensor(x, dtype=torch.float64).clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@cache
def _wanted(name: str, n: int) -> list[Tensor]:
    _, oracle, numbers = CASES[name]
    return _value_and_gradients(oracle, *_pair(n), *numbers)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("n", [1, 2, 8, 13])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_equal_those_of_the_formula(name: str, n: int) -> None:
    loss, _, numbers = CASES[name]
    got = _value_and_gradients(loss, *_pair(n), *numbers)
    for x, y in zip(got, _wanted(name, n), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("length", [1.0, 2.0])
def test_only_logits_within_a_bound_go_without_a_shift(length: float) -> None:
    """Vectors need not be of unit length: at length 2 and scale 20 a logit reaches 80 and is shifted."""
    a, b = _pair(8)
    scale = torch.tensor(20.0, dtype=torch.float64)
    assert streaming._bounded(a, length * b, scale) == (length == 1)
    assert not streaming._bounded(a, length * b, 2 * scale)
    assert not streaming._bounded(a, b * torch.nan, scale)


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_tensors_are_the_same_parameters(name: str) -> None:
    loss, _, numbers = CASES[name]
    a, b = _pair(9)
    as_tensors = [torch.tensor(x, dtype=torch.float64) for x in numbers]
    torch.testing.assert_close(loss(a, b, *numbers), loss(a, b, *as_tensors), rtol=0, atol=1e-15)
    assert loss(a, b, *(x.reshape(1) for x in as_tensors)).shape == ()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("name", CASES)
def test_backward_twice_gives_the_same(name: str) -> None:
    loss, _, numbers = CASES[name]
    a, b = (x.requires_grad_() for x in _pair(9))
    value = loss(a, b, *numbers)
    first = torch.autograd.grad(value, (a, b), retain_graph=True)
    second = torch.autograd.grad(3 * value, (a, b))
    for x, y in zip(first, second, strict=True):
        torch.testing.assert_close(3 * x, y)


@pytest.mark.usefixtures("path")
def test_all_captions_alike_leave_nothing_to_tell_apart() -> None:
    a, b = (x.requires_grad_() for x in _pair(6))
    loss = clip_loss(a, b, 14.0, torch.zeros(6, dtype=torch.int64))
    assert loss.item() == 0
    assert all(torch.equal(g, torch.zeros_like(g)) for g in torch.autograd.grad(loss, (a, b)))


@pytest.mark.usefixtures("path")
def test_frozen_tower_gets_no_gradient_and_the_other_the_same() -> None:
    a, b = _pair(9)
    a.requires_grad_()
    (alone,) = torch.autograd.grad(clip_loss(a, b, 14.0), a)
    (together,) = torch.autograd.grad(clip_loss(a, b.clone().requires_grad_(), 14.0), a)
    torch.testing.assert_close(alone, together, rtol=1e-14, atol=1e-17)
    scale = torch.tensor(14.0, dtype=torch.float64, requires_grad=True)
    (by_scale,) = torch.autograd.grad(clip_loss(a.detach(), b, scale), scale)
    torch.testing.assert_close(by_scale, _wanted("clip", 9)[3])


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 1000), name=st.sampled_from(["clip", "siglip", "nt_xent", "info_nce"]))
def test_the_order_of_samples_does_not_matter(n: int, seed: int, name: str) -> None:
    loss, _, numbers = CASES[name]
    a, b = _pair(n, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    value, by_a, by_b, *_ = _value_and_gradients(loss, a, b, *numbers)
    shuffled, by_shuffled_a, by_shuffled_b, *_ = _value_and_gradients(loss, a[order], b[order], *numbers)
    torch.testing.assert_close(shuffled, value)
    torch.testing.assert_close(by_shuffled_a, by_a[order])
    torch.testing.assert_close(by_shuffled_b, by_b[order])


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 1000), name=st.sampled_from(["clip", "siglip", "nt_xent"]))
def test_the_two_sides_are_alike(n: int, seed: int, name: str) -> None:
    loss, _, numbers = CASES[name]
    a, b = _pair(n, seed=seed)
    torch.testing.assert_close(loss(a, b, *numbers), loss(b, a, *numbers))


def test_bound_on_mutual_information() -> None:
    torch.testing.assert_close(mutual_information_bound(torch.tensor(0.5), 8), torch.tensor(2.0794415 - 0.5))
    a, _ = _pair(16, dim=32, noise=0.0)
    assert mutual_information_bound(clip_loss(a, a, 100.0), 16).item() == pytest.approx(2.7725887, abs=1e-6)
    same = a[:1].expand(16, -1)
    assert mutual_information_bound(info_nce(same, same, 0.1), 16).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: clip_loss(a, a[:3], 14.0), r"image is \(4, 6\) and text is \(3, 6\)"),
        (lambda a: siglip_loss(a[0], a[0], 1.0, 0.0), r"image is \(6,\)"),
        (lambda a: nt_xent(a[:0], a[:0], 0.1), r"a is \(0, 6\)"),
        (lambda a: info_nce(a, a, 0.1, negatives=a[:, :5]), r"negatives are \(4, 5\); want \(K, 6\)"),
        (lambda a: clip_loss(a, a, 14.0, torch.zeros(3, dtype=torch.int64)), r"ids are \(3,\)"),
        (lambda a: clip_loss(a, a, 14.0, torch.zeros(4)), r"ids are \(4,\) torch.float32"),
    ],
)
def test_says_what_does_not_fit(call: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(_pair(4)[0])
