"""Every method and predictor on a GPU, beside the CPU."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mmcontrast.predict.features import FeatureExtractor
from mmcontrast.predict.match import DescriptorMatcher
from mmcontrast.predict.track import LabelPropagator
from mmcontrast.predict.zero_shot import ZeroShotClassifier
from tests.conformance.cases import CASES

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def on_gpu(batch: dict) -> dict:
    move = lambda value: value.cuda() if isinstance(value, Tensor) else value
    return {name: [move(x) for x in v] if isinstance(v, list) else move(v) for name, v in batch.items()}


def photograph() -> np.ndarray:
    y, x = np.mgrid[:160, :200]
    return np.stack([np.sin(x / 9) * 90 + 120, np.cos(y / 7) * 90 + 120, (x + y) % 255], -1).astype(np.uint8)


@pytest.mark.parametrize("case", CASES)
def test_the_loss_equals_that_of_the_cpu(case: str):
    method = CASES[case].build().eval()
    batch = CASES[case].batch(method)
    with torch.random.fork_rng():
        expected = method(batch)["loss"].item()
        torch.manual_seed(0)
        value = method.cuda()(on_gpu(batch))["loss"].item()
    assert value == pytest.approx(expected, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", CASES)
def test_steps_in_half_precision_lower_the_loss(case: str, dtype: torch.dtype):
    method = CASES[case].build().cuda().train()
    batch = on_gpu(CASES[case].batch(method))
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], CASES[case].lr)
    scaler = torch.amp.GradScaler(enabled=dtype == torch.float16)
    losses = []
    for step in range(30):
        optimizer.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cuda", dtype):
            loss = method(batch)["loss"]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        method.after_step((step + 1) / 30)
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert min(losses[-5:]) < losses[0]


def test_predictors_equal_the_cpu():
    image = photograph()
    pairs = []
    for device in ("cpu", "cuda"):
        classify = ZeroShotClassifier("clip-lite", ["a cat", "a dog"], device=device, cache=False)
        extract = FeatureExtractor("clip-lite", device=device)
        match = DescriptorMatcher("don-lite", device=device)
        match.set_reference(image)
        pairs.append((classify.probabilities(image), extract.grid(image), match.find(image, [(90, 60)]).xy))
    for expected, value in zip(*pairs, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-2, atol=1e-2)


def test_tracking_equals_the_cpu():
    video = np.stack([np.roll(photograph(), 3 * t, 1) for t in range(6)])
    mask = np.zeros(video.shape[1:3], np.uint8)
    mask[40:90, 60:120] = 1
    masks = [
        np.stack(list(LabelPropagator("track-lite", device=device, resolution=160).iter_masks(video, mask)))
        for device in ("cpu", "cuda")
    ]
    assert (masks[0] != masks[1]).mean() < 0.005
