"""Tracking emerges by colorizing videos: copy the colors of reference frames by attention.

Vondrick et al., ECCV 2018. https://arxiv.org/abs/1806.09594 (eqs. 1 to 3), with refinements of CorrFlow (Lai and Xie
2019, https://arxiv.org/abs/1905.00875), MAST (Lai et al. 2020, https://arxiv.org/abs/2002.07793) and of the contrastive
random walk (Jabri et al. 2020, https://arxiv.org/abs/2006.14613) as options.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.cycle import contrastive_random_walk
from mmcontrast.methods.base import Method
from mmcontrast.methods.frame_encoder import FrameEncoder, Lock
from mmcontrast.ops.affinity import Window, attend
from mmcontrast.ops.color import lab_to_rgb, nearest_center, rgb_to_lab
from mmcontrast.ops.random import uniform

# 16 clusters of ab in everyday videos, by data_scripts/color_clusters.py; largest first.
CENTERS = (
    (1.1, 0.0), (3.9, 8.7), (-5.2, 2.8), (0.0, -9.3), (20.0, 29.8), (17.7, 12.9), (6.0, 24.1), (-8.4, 16.8),
    (0.2, -22.9), (15.4, -6.4), (-15.6, 34.3), (17.4, 49.0), (43.7, 27.6), (-18.8, -17.5), (32.3, -71.8), (25.2, -35.6),
)  # fmt: skip
_DROPOUT = 31  # stream of the sample's key


class VideoColor(Method):
    """Predicts a frame's colors as a mixture of the colors of other frames.

    Batch: ``clip`` (B, T, 3, H, W) float in [0, 1] RGB, of which the last frame is the target and the others are the
    references; ``sample_key`` (B,) int64 where channels are hidden at random.

    Deviations: colors are means over grid cells, so that they match the features (Vondrick resizes, MAST samples);
    MAST's channels are hidden in Lab but shown to the encoder as RGB, so that any network serves.

    Args:
        encoder: the trunk.
        dim: channels D of the embedding; None: the trunk's own features.
        hide: what the encoder does not see of the colors: "all" (gray, Vondrick; also after training), "channel" (a
            or b, drawn for each clip, MAST) or "rgb" (one of R, G, B, drawn for each clip, CorrFlow).
        predict: "bins", the cross-entropy of quantized ab (Vondrick), or "lab", a smooth L1 on what is hidden (MAST).
        centers: (K, 2) ab of the bins; None: 16 clusters of everyday videos.
        temperature: of the softmax.
        unit: compare directions (cosine) instead of the features as they come.
        radius: cells within which a target looks; None: everywhere.
        cycle: weight of the contrastive random walk's loss on the same features.
        cycle_temperature: of that walk.
        lock: "norm" keeps the trunk's batch norms fixed, "all" trains the head only.
    """

    centers: Tensor

    def __init__(
        self,
        encoder: Encoder,
        dim: int | None = 64,
        hide: Literal["all", "channel", "rgb"] = "all",
        predict: Literal["bins", "lab"] = "bins",
        centers: Sequence[Sequence[float]] | None = None,
        temperature: float = 1.0,
        unit: bool = False,
        radius: float | None = None,
        cycle: float = 0.0,
        cycle_temperature: float = 0.05,
        lock: Lock = "none",
    ) -> None:
        super().__init__()
        if temperature <= 0 or cycle < 0:
            raise InputError(f"temperature {temperature}, cycle {cycle}: wanted temperature > 0 and cycle >= 0")
        if lock == "all" and dim is None:
            raise InputError("lock='all' without a head leaves nothing to train; give dim")
        self.encoder = FrameEncoder(encoder, dim, gray=hide == "all", lock=lock)
        self.hide, self.predict = hide, predict
        self.temperature, self.unit = temperature, unit
        self.window = None if radius is None else Window(radius)
        self.cycle, self.cycle_temperature = cycle, cycle_temperature
        self.register_buffer("centers", torch.tensor(centers or CENTERS, dtype=torch.float32))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Also gives the ``accuracy`` of predicted bins, or the ``error`` of predicted ab in Lab units."""
        clip = batch["clip"]
        lab = rgb_to_lab(clip)  # (B, T, 3, H, W)
        seen, hidden = self._hide(clip, lab, batch)
        features = self.encoder.grid(seen.flatten(0, 1)).unflatten(0, clip.shape[:2])  # (B, T, D, h, w)
        if self.unit:
            features = F.normalize(features, dim=2)
        cells = F.adaptive_avg_pool2d(lab[:, :, 1:].flatten(0, 1), features.shape[-2:])  # (B T, 2, h, w)
        if self.predict == "bins":
            bins = nearest_center(cells, self.centers).unflatten(0, clip.shape[:2])  # (B, T, h, w)
            values = F.one_hot(bins, len(self.centers)).permute(0, 1, 4, 2, 3).to(lab.dtype)  # (B, T, K, h, w)
        else:
            values = cells.unflatten(0, clip.shape[:2]) / 100  # (B, T, 2, h, w) in about [-1, 1]
        copied = attend(
            features[:, -1], features[:, :-1], values[:, :-1], self.temperature, window=self.window
        )  # eqs. 1 and 2
        if self.predict == "bins":
            loss = F.nll_loss(copied.clamp_min(1e-6).log(), bins[:, -1])  # eq. 3
            out = {"accuracy": (copied.argmax(1) == bins[:, -1]).to(lab.dtype).mean()}
        else:
            off = copied - values[:, -1]
            loss = (F.smooth_l1_loss(20 * off, torch.zeros_like(off), reduction="none") * hidden).mean()  # MAST eq. 5
            out = {"error": 100 * off.detach().abs().mean()}
        if self.cycle:
            nodes = F.avg_pool2d(features.flatten(0, 1), 2).flatten(2).mT.unflatten(0, clip.shape[:2])  # (B, T, N, D)
            walk, out["returned"] = contrastive_random_walk(nodes, self.cycle_temperature)
            loss = loss + self.cycle * walk
        return {"loss": loss, **out}

    def _hide(self, clip: Tensor, lab: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """What the encoder sees (B, T, 3, H, W), and weights (B, 2, 1, 1), of mean 1, of the ab channels to predict."""
        both = clip.new_ones(len(clip), 2, 1, 1)
        if self.hide == "all":
            return clip, both
        draw = uniform(batch["sample_key"], 1, stream=_DROPOUT)[:, 0]  # (B,)
        if self.hide == "rgb":
            kept = (torch.arange(3, device=clip.device) != (3 * draw).long()[:, None]).to(clip.dtype)  # (B, 3)
            return clip * kept[:, None, :, None, None], both
        channel = F.one_hot((2 * draw).long(), 2).to(clip.dtype)  # (B, 2): which of a, b is hidden
        shown = 1 - F.pad(channel, (1, 0))  # (B, 3), the lightness always
        return lab_to_rgb(lab * shown[:, None, :, None, None]), 2 * channel[..., None, None]
