"""Split-brain autoencoder: one half predicts colors from lightness, the other lightness from colors.

Zhang, Isola, Efros, CVPR 2017, https://arxiv.org/abs/1611.09842.
"""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.decoder import upsampler
from mmcontrast.errors import InputError
from mmcontrast.losses.reconstruct import color_bins
from mmcontrast.methods.base import Method
from mmcontrast.methods.lab_encoder import ConcatEncoder, LabEncoder
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab
from mmcontrast.ops.color_bins import ColorBins


class SplitBrain(Method):
    """Two networks predict each other's channels; their features are used side by side.

    Batch: ``image`` (B, 3, H, W) float in [0, 1].

    Targets are means over cells of the predicted map, and one bin each, without rebalancing.

    Args:
        lightness: F1, the network that sees L and predicts ab; of 1 or 3 channels.
        color: F2, the network that sees ab and predicts L; of 2 channels.
        predict: "bins", by cross-entropy (eq. 4), or "values", by least squares (eq. 3).
        stride: Pixels per cell of the predicted maps, or the encoders' stride if that is finer.
        width: Number of channels of each decoder's first layer.
        step: Distance between the ab bins, in units of Lab.
        lightness_bins: Number of bins of L.
        features: What ``encoder`` is: "both" halves joined, or "lightness" or "color" alone, for comparisons.

    Raises:
        InputError: There are no such features.
    """

    batch_entries: ClassVar[dict[str, str]] = {"image": "data.train to a dataset of images, such as Images"}

    def __init__(
        self,
        lightness: Encoder,
        color: Encoder,
        predict: Literal["bins", "values"] = "bins",
        stride: int = 4,
        width: int = 128,
        step: float = 10.0,
        lightness_bins: int = 100,
        features: Literal["both", "lightness", "color"] = "both",
    ) -> None:
        super().__init__()
        if features not in ("both", "lightness", "color"):
            raise InputError(f"features is {features!r}; choose both, lightness or color")
        self.halves = ConcatEncoder(LabEncoder(lightness, "lightness"), LabEncoder(color, "color"))
        self.predict, self.levels, self.features = predict, lightness_bins, features
        self.bins = ColorBins(step, neighbors=1)
        widths = (len(self.bins.centers), lightness_bins) if predict == "bins" else (2, 1)
        self.to_color = upsampler(lightness.dim, widths[0], lightness.stride / stride, width)
        self.to_lightness = upsampler(color.dim, widths[1], color.stride / stride, width)

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """Both halves joined, or the half that ``features`` names."""
        return {"both": self.halves, "lightness": self.halves.first, "color": self.halves.second}[self.features]

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the sum of the losses of both halves, and logs each."""
        lab = rgb_to_lab(batch["image"])
        ab = self.to_color(self.halves.first.lab_grid(lab))  # (B, Q or 2, h, w)
        lightness = self.to_lightness(self.halves.second.lab_grid(lab))  # (B, levels or 1, h, w)
        target = F.adaptive_avg_pool2d(lab, (ab.shape[2], ab.shape[3]))  # (B, 3, h, w)
        if self.predict == "bins":
            index, weight = self.bins.encode(target[:, 1:])  # one bin, of weight 1
            to_color = color_bins(ab, index, weight, weight.new_ones(ab.shape[1]))
            level = (target[:, 0] / 100 * self.levels).long().clamp(0, self.levels - 1)  # (B, h, w)
            to_lightness = F.cross_entropy(lightness.to(target.dtype), level)
        else:
            to_color = (ab.to(target.dtype) - target[:, 1:] / 110).square().sum(1).mean() / 2
            to_lightness = (lightness.to(target.dtype) - (target[:, :1] / 50 - 1)).square().mean() / 2
        loss = to_color + to_lightness
        return {"loss": loss, "to_color": to_color.detach(), "to_lightness": to_lightness.detach()}

    @torch.no_grad()
    def colors(self, image: Tensor, temperature: float | None = None) -> Tensor:
        """Predicts the colors of images from their lightness, with the first half.

        Args:
            image: (B, 3, H, W) in [0, 1]; its own colors are ignored.
            temperature: Temperature of the annealed mean; None: 0.38, that of Colorization.

        Returns:
            (B, 2, h, w) ab, with ``stride`` pixels per cell.
        """
        ab: Tensor = self.to_color(self.halves.first.grid(image))
        if self.predict == "values":
            return 110 * ab.float()
        return self.bins.annealed_mean(ab, 0.38 if temperature is None else temperature)

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns photographs, with colors made of their lightness, and with lightness made of their colors."""
        lab = rgb_to_lab(image)
        ab, lightness = self.colors(image), self.to_lightness(self.halves.second.lab_grid(lab)).float()
        if self.predict == "bins":
            middles = (torch.arange(self.levels, device=ab.device) + 0.5) * (100 / self.levels)
            lightness = (lightness.softmax(1) * middles[:, None, None]).sum(1, keepdim=True)
        else:
            lightness = 50 * (lightness + 1)
        ab, lightness = (F.interpolate(part, image.shape[-2:], mode="bilinear") for part in (ab, lightness))
        return {
            "photograph": image,
            "ab made of L": lab_to_rgb(torch.cat([lab[:, :1], ab], 1)),
            "L made of ab": lab_to_rgb(torch.cat([lightness, lab[:, 1:]], 1)),
        }
