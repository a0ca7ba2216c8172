"""Rounding, saturation, half precision and memory of the contrastive losses, beside the libraries people use now."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmcontrast.losses import clip_loss, info_nce, nt_xent, siglip_loss

Loss = Callable[..., Tensor]


def _pair(n: int, noise: float, dim: int = 512) -> tuple[Tensor, Tensor]:
    """Two (n, dim) sets of fp32 unit vectors; noise 0.3 makes partners nearly equal, 30 unrelated."""
    draw = torch.Generator().manual_seed(0)
    a = F.normalize(torch.randn(n, dim, generator=draw), dim=1)
    return a, F.normalize(a + noise * torch.randn(n, dim, generator=draw) / dim**0.5, dim=1)


def _gradients(loss: Loss, *inputs: Tensor) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    return list(torch.autograd.grad(loss(*leaves), leaves))


def _errors(got: list[Tensor], want: list[Tensor]) -> list[float]:
    return [float((x.double() - y).norm() / y.norm()) for x, y in zip(got, want, strict=True)]


def _nt_xent_dense(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """NT-Xent the usual way: the matrix, its diagonal at -inf, cross-entropy."""
    views, n = torch.cat([a, b]), len(a)
    logits = views @ views.t() / temperature  # (2N, 2N)
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(2 * n).roll(n))


@pytest.mark.parametrize("logits", [90, 520], ids=["dense", "tiles"])
@pytest.mark.parametrize("scale", [14.0, 100.0])
@pytest.mark.parametrize("noise", [0.3, 1.0, 4.0, 30.0])
@pytest.mark.parametrize(
    ("loss", "dense", "bias", "views"),
    [
        (clip_loss, ClipLoss(), (), 1),
        (siglip_loss, SigLipLoss(), (-10.0,), 1),
        (
            lambda a, b, s: nt_xent(a, b, 1 / float(s.detach())) + 0 * s,
            lambda a, b, s: _nt_xent_dense(a, b, 1 / float(s.detach())) + 0 * s,
            (),
            2,
        ),
    ],
    ids=["clip", "siglip", "nt_xent"],
)
def test_fp32_gradients_are_near_float64(
    loss: Loss, dense: Loss, bias: tuple[float, ...], views: int, noise: float, scale: float, logits: int
) -> None:
    inputs = (*_pair(logits // views, noise), *(torch.tensor(x) for x in (scale, *bias)))
    exact = _gradients(loss, *(x.double() for x in inputs))[:2]
    ours = _errors(_gradients(loss, *inputs)[:2], exact)
    theirs = _errors(_gradients(dense, *inputs)[:2], exact)
    assert max(ours) < 5e-6
    assert all(mine <= 2 * other for mine, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("noise", [0.3, 4.0])
def test_fp32_gradients_of_scale_and_bias_are_near_float64(noise: float) -> None:
    inputs = (*_pair(520, noise), torch.tensor(100.0), torch.tensor(-10.0))
    for loss, used in ((clip_loss, inputs[:3]), (siglip_loss, inputs)):
        exact = _gradients(loss, *(x.double() for x in used))[2:]
        assert max(_errors(_gradients(loss, *used)[2:], exact)) < 5e-6


def test_saturated_slopes_are_not_the_rounding_of_one() -> None:
    image, text = _pair(64, noise=1.0)
    exact = _gradients(clip_loss, image.double(), text.double(), torch.tensor(100.0, dtype=torch.float64))[0]
    assert exact.abs().max() < 1e-20  # the softmax is 1 to all digits of fp32, and of float64
    ours = _gradients(clip_loss, image, text, torch.tensor(100.0))[0]
    dense = _gradients(ClipLoss(), image, text, torch.tensor(100.0))[0]
    assert _errors([ours], [exact])[0] < 5e-6
    assert _errors([dense], [exact])[0] > 0.1


def test_any_row_may_be_far_below_any_column() -> None:
    """A column whose best logit is 180 below another's keeps its sum: no shift is shared."""
    image = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.9, -0.43588989], [-0.9, -0.43588989]])
    scale = torch.tensor(100.0)
    exact = _gradients(clip_loss, image.double(), text.double(), scale.double())
    assert max(_errors(_gradients(clip_loss, image, text, scale), exact)) < 5e-6
    value = clip_loss(image, text, scale)
    torch.testing.assert_close(value.double(), ClipLoss()(image.double(), text.double(), scale.double()))


HALF: dict[str, Loss] = {
    "clip": lambda a, b: clip_loss(a, b, 100.0),
    "siglip": lambda a, b: siglip_loss(a, b, 10.0, -10.0),
    "nt_xent": lambda a, b: nt_xent(a, b, 0.1),
    "info_nce": lambda a, b: info_nce(a, b, 0.07),
    "info_nce, queue": lambda a, b: info_nce(a, b, 0.07, negatives=a.detach().flip(0)),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("name", HALF)
def test_half_precision_inputs_lose_nothing_but_their_own_rounding(name: str, dtype: torch.dtype) -> None:
    loss, tolerance = HALF[name], 1e-5 if dtype == torch.float32 else 1e-2
    a, b = (x.to(dtype) for x in _pair(60, noise=2.0, dim=64))
    want = loss(a.float(), b.float())
    for context in (nullcontext(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with context:
            leaves = [x.clone().requires_grad_() for x in (a, b)]
            value = loss(*leaves)
            gradients = torch.autograd.grad(value, leaves)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.detach(), want, rtol=1e-6, atol=0)
        assert [g.dtype for g in gradients] == [dtype, dtype]
        for gradient, exact in zip(gradients, _gradients(loss, a.float(), b.float()), strict=True):
            torch.testing.assert_close(gradient, exact.to(dtype), rtol=tolerance, atol=1e-6)


class PeakBytes(TorchDispatchMode):
    """The most bytes that tensors made under it held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        old = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        out = func(*args, **(kwargs or {}))
        self.live = {key: entry for key, entry in self.live.items() if not entry[0].expired()}
        for x in tree_leaves(out):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in old | self.live.keys():
                storage = x.untyped_storage()
                self.live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return out


def _peak_bytes(loss: Loss, *inputs: Tensor) -> int:
    leaves = [x.clone().requires_grad_() for x in inputs]
    with PeakBytes() as counter:
        loss(*leaves).backward()
    return counter.peak


@pytest.mark.parametrize("name", ["clip", "siglip", "nt_xent", "info_nce"])
def test_memory_grows_with_n_and_not_with_its_square(name: str) -> None:
    n, dim, tile = 3000, 32, 512 * 512 * 4
    peak = _peak_bytes(HALF[name], *_pair(n, noise=4.0, dim=dim))
    assert peak <= 8 * n * dim * 4 + 3 * tile
    assert peak < n * n * 4 / 4


def test_the_counter_sees_a_dense_loss() -> None:
    image, text = _pair(600, noise=4.0, dim=32)
    assert _peak_bytes(lambda a, b: ClipLoss()(a, b, 14.0), image, text) > 2 * 600 * 600 * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", HALF)
def test_gpu_agrees_and_never_waits(name: str, dtype: torch.dtype) -> None:
    loss = HALF[name]
    a, b = (x.to("cuda", dtype) for x in _pair(5000, noise=2.0, dim=64))
    leaves = [x.clone().requires_grad_() for x in (a, b)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = loss(*leaves)
        gradients = torch.autograd.grad(value, leaves)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(value.cpu().double(), loss(a.cpu().double(), b.cpu().double()), rtol=1e-4, atol=1e-6)
    exact = _gradients(loss, a.cpu().double(), b.cpu().double())
    assert max(_errors([g.cpu() for g in gradients], exact)) < (1e-2 if dtype != torch.float32 else 1e-5)
