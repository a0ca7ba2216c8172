"""The losses that methods call equal the equations beside them, in value and gradients."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.losses import contrastive, streaming

IDS = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0, 5])
QUEUE = F.normalize(torch.randn(11, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), dim=1)
CASES = {
    "info_nce": (contrastive.info_nce, contrastive.info_nce_reference, (0.1,), None),
    "info_nce, queue": (contrastive.info_nce, contrastive.info_nce_reference, (0.1,), QUEUE),
    "nt_xent": (contrastive.nt_xent, contrastive.nt_xent_reference, (0.1,), None),
    "clip_loss": (contrastive.clip_loss, contrastive.clip_loss_reference, (14.0,), None),
    "clip_loss, repeats": (contrastive.clip_loss, contrastive.clip_loss_reference, (14.0,), IDS),
    "siglip_loss": (contrastive.siglip_loss, contrastive.siglip_loss_reference, (10.0, -5.0), None),
    "siglip_loss, repeats": (contrastive.siglip_loss, contrastive.siglip_loss_reference, (10.0, -5.0), IDS),
}


def value_and_gradients(loss: Callable[..., Tensor], inputs: list[Tensor], option: Tensor | None) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = loss(*leaves, *([] if option is None else [option]))
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "tiles"])
@pytest.mark.parametrize("name", CASES)
def test_losses_equal_their_equations(name: str, dense: bool, monkeypatch: pytest.MonkeyPatch):
    if not dense:
        monkeypatch.setattr(streaming, "_DENSE", 0)
    loss, reference, numbers, option = CASES[name]
    draw = torch.Generator().manual_seed(0)
    a, b = (F.normalize(torch.randn(9, 6, dtype=torch.float64, generator=draw), dim=1) for _ in range(2))
    inputs = [a, b, *(torch.tensor(x, dtype=torch.float64) for x in numbers)]
    for got, want in zip(
        value_and_gradients(loss, inputs, option), value_and_gradients(reference, inputs, option), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11)
