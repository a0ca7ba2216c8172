"""Colorful image colorization: predict the colors of an image from its lightness.

Zhang, Isola, Efros, ECCV 2016, https://arxiv.org/abs/1603.08511.
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
from mmcontrast.methods.lab_encoder import LabEncoder
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab
from mmcontrast.ops.color_bins import ColorBins, rebalance
from mmcontrast.ops.distributed import all_reduce_sum, world_size


class Colorization(Method):
    """Predicts the ab of each pixel from L, as a distribution over bins or as a value.

    Batch: ``image`` (B, 3, H, W) float in [0, 1].

    Deviations: the prior by which colors are rebalanced is a running mean over batches of all ranks, not a pass over
    the data before training; targets are means over cells of the predicted map.

    Args:
        encoder: The network that sees the lightness, of 1 or 3 channels.  The paper's has stride 8,
            ``TimmEncoder(output_stride=8)``.
        predict: "bins", a distribution over ab bins (eq. 2), or "ab", their value by least squares (eq. 1).
        stride: Pixels per cell of the predicted map, or the encoder's stride if that is finer; the paper's is 4.
        width: Number of channels of the decoder's first layer.
        step: Distance between bins, in units of Lab.
        neighbors: Number of bins among which a target color is divided.
        sigma: Standard deviation of the Gaussian weights of these bins, in units of Lab.
        uniform: lambda of the rebalancing (eq. 4), in (0, 1]; with 1 all colors weigh alike.
        prior_momentum: Momentum of the running frequency of each bin.
        temperature: T of the annealed mean (eq. 5), by which distributions become colors.

    Raises:
        InputError: An option is out of range.
    """

    encoder: LabEncoder
    prior: Tensor
    batch_entries: ClassVar[dict[str, str]] = {"image": "data.train to a dataset of images, such as Images"}

    def __init__(
        self,
        encoder: Encoder,
        predict: Literal["bins", "ab"] = "bins",
        stride: int = 4,
        width: int = 256,
        step: float = 10.0,
        neighbors: int = 5,
        sigma: float = 5.0,
        uniform: float = 0.5,
        prior_momentum: float = 0.99,
        temperature: float = 0.38,
    ) -> None:
        super().__init__()
        if not (0 < uniform <= 1 and 0 <= prior_momentum < 1 and temperature > 0):
            raise InputError(
                f"uniform {uniform}, prior_momentum {prior_momentum}, temperature {temperature}: wanted the first in "
                "(0, 1], the second in [0, 1), the third above 0"
            )
        self.encoder = LabEncoder(encoder, "lightness")
        self.predict, self.uniform, self.momentum, self.temperature = predict, uniform, prior_momentum, temperature
        self.bins = ColorBins(step, neighbors, sigma)
        count = len(self.bins.centers)
        self.decoder = upsampler(encoder.dim, count if predict == "bins" else 2, encoder.stride / stride, width)
        self.register_buffer("prior", torch.full((count,), 1 / count))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the loss, and logs the ``accuracy`` of bins or the mean ``error`` of ab in units of Lab."""
        lab = rgb_to_lab(batch["image"])
        out = self._decode(lab)  # (B, Q or 2, h, w)
        ab = F.adaptive_avg_pool2d(lab[:, 1:], (out.shape[2], out.shape[3]))  # (B, 2, h, w)
        if self.predict == "ab":
            error = out.to(ab.dtype) - ab / 110
            loss = error.square().sum(1).mean() / 2  # eq. 1
            return {"loss": loss, "error": 110 * error.detach().square().sum(1).sqrt().mean()}
        index, target = self.bins.encode(ab)  # (B, K, h, w), the sparse form of Z
        loss = color_bins(out, index, target, self._weight(index, target))  # eq. 2
        return {"loss": loss, "accuracy": (out.argmax(1) == index[:, 0]).to(ab.dtype).mean()}

    @torch.no_grad()
    def colors(self, image: Tensor, temperature: float | None = None) -> Tensor:
        """Predicts the colors of images from their lightness.

        Args:
            image: (B, 3, H, W) in [0, 1]; its own colors are ignored.
            temperature: Temperature of the annealed mean; None: that of the method.

        Returns:
            (B, 2, h, w) ab, with ``stride`` pixels per cell.
        """
        return self._colors(self._decode(rgb_to_lab(image)), temperature)

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns photographs, their lightness, and that in predicted colors."""
        lab = rgb_to_lab(image)
        ab = F.interpolate(self._colors(self._decode(lab)), image.shape[-2:], mode="bilinear")
        gray, colored = (lab_to_rgb(torch.cat([lab[:, :1], part], 1)) for part in (torch.zeros_like(ab), ab))
        return {"photograph": image, "gray": gray, "colored": colored}

    def _decode(self, lab: Tensor) -> Tensor:
        """Returns the decoder's (B, Q or 2, h, w) output for Lab images (B, 3, H, W)."""
        out: Tensor = self.decoder(self.encoder.lab_grid(lab))
        return out

    def _colors(self, out: Tensor, temperature: float | None = None) -> Tensor:
        """Returns the (B, 2, h, w) ab of the decoder's output (B, Q or 2, h, w)."""
        if self.predict == "ab":
            return 110 * out.float()
        return self.bins.annealed_mean(out, self.temperature if temperature is None else temperature)

    def _weight(self, index: Tensor, target: Tensor) -> Tensor:
        """Returns the (Q,) weights of the bins (eq. 4); in training the batch's colors join the prior first."""
        if self.training:
            frequencies = all_reduce_sum(self.bins.frequencies(index, target)) / world_size()
            self.prior.lerp_(frequencies.to(self.prior), 1 - self.momentum)
        return rebalance(self.prior, self.uniform)
