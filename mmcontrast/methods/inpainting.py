"""Context encoder: paint a hole in an image, well enough to deceive a discriminator.

Pathak, Krahenbuhl, Donahue, Darrell, Efros, CVPR 2016, https://arxiv.org/abs/1604.07379.
"""

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.decoder import ChannelwiseLinear, upsampler
from mmcontrast.errors import InputError
from mmcontrast.losses.reconstruct import adversarial_loss, inpainting_loss
from mmcontrast.methods.base import Method
from mmcontrast.ops.holes import border, center_hole, random_region


class Inpainting(Method):
    """Encodes an image with a hole, and paints all of it.

    Batch: ``image`` (B, 3, H, W) float in [0, 1], of the encoder's ``image_size``; ``sample_key`` (B,) int64, the key
    of the holes.

    Painter and discriminator learn in one step of one optimizer, from one loss: each parameter's gradient is that of
    its own objective, and an optimizer treats each parameter by itself, so this is what two optimizers would do.  The
    paper's slower discriminator is ``lr_scale: {discriminator: 0.1}`` of the learner.

    Deviations: painter and discriminator move at the same time instead of in turns; the painter maximizes
    log D(painted) (Goodfellow et al. 2014, section 3) where eq. 2 minimizes log(1 - D); group norm replaces batch norm,
    so that an image is painted alike in any batch; the discriminator sees the whole image with the painted hole.

    Args:
        encoder: The network that sees the image, with the hole filled by the encoder's mean color.
        hole: "center", or "random": regions of arbitrary shape.
        fraction: Fraction of the image's area that is hidden.
        overlap: Pixels around the hole that are painted as well (the paper has 7 of 227).
        overlap_weight: Weight of these pixels in the reconstruction.
        adversarial: lambda_adv, the weight of the adversarial loss; the weight of the reconstruction is 1 minus that.
            With 0 there is no discriminator.
        width: Number of channels of the decoder's first layer.
        discriminator_width: Number of channels of the discriminator's first layer.

    Raises:
        InputError: An option is out of range.
    """

    random_stream = 2020
    batch_entries: ClassVar[dict[str, str]] = {
        "image": "data.train to a dataset of images, such as Images",
        "sample_key": "data.train to a dataset with keys, such as Images",
    }

    def __init__(
        self,
        encoder: Encoder,
        hole: Literal["center", "random"] = "random",
        fraction: float = 0.25,
        overlap: int = 7,
        overlap_weight: float = 10.0,
        adversarial: float = 0.001,
        width: int = 256,
        discriminator_width: int = 64,
    ) -> None:
        super().__init__()
        if not (0 < fraction < 1 and 0 <= adversarial < 1 and overlap >= 0):
            raise InputError(
                f"fraction {fraction}, adversarial {adversarial}, overlap {overlap}: wanted the first in (0, 1), the "
                "second in [0, 1), the third at least 0"
            )
        self.encoder, self.hole, self.fraction = encoder, hole, fraction
        self.overlap, self.overlap_weight, self.adversarial = overlap, overlap_weight, adversarial
        side = math.ceil(encoder.image_size / encoder.stride)
        self.decoder = nn.Sequential(
            ChannelwiseLinear(encoder.dim, side**2), nn.ReLU(), upsampler(encoder.dim, 3, encoder.stride, width)
        )
        if adversarial:
            self.discriminator = discriminator(encoder.image_size, discriminator_width)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the loss, and logs its terms and the discriminator's own loss."""
        image = batch["image"]
        hole = self._holes(image, batch["sample_key"])  # (B, 1, H, W)
        painted = self._paint(image, hole)  # (B, 3, H, W)
        around = border(hole, self.overlap)
        reconstruction = inpainting_loss(painted, image, hole, around, self.overlap_weight)  # eq. 1
        out = {"reconstruction": reconstruction.detach()}
        if not self.adversarial:
            return {"loss": reconstruction, **out}
        composite = torch.where(hole, painted, image)  # outside of the hole nothing constrains what is painted
        real, fake = self.discriminator(image), self.discriminator(composite.detach())  # (B, 1, h, w) logits
        discriminator_loss = adversarial_loss(real, True) + adversarial_loss(fake, False)  # eq. 2, for D
        judged = functional_call(self.discriminator, self.discriminator.state_dict(), composite)  # D is constant here
        adversarial = adversarial_loss(judged, True)  # eq. 2, for F
        loss = (1 - self.adversarial) * reconstruction + self.adversarial * adversarial  # eq. 3
        out |= {"adversarial": adversarial.detach(), "discriminator": discriminator_loss.detach()}
        return {"loss": loss + discriminator_loss - discriminator_loss.detach(), **out}

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns photographs, what the encoder sees of them, and them with the hole painted."""
        hole = self._holes(image, sample_key)
        painted = torch.where(hole, self._paint(image, hole), image)
        return {"photograph": image, "seen": self._cut(image, hole), "painted": painted}

    def _holes(self, image: Tensor, sample_key: Tensor) -> Tensor:
        """Returns (B, 1, H, W) bool, the holes of images (B, 3, H, W)."""
        size = self.encoder.image_size
        if tuple(image.shape[2:]) != (size, size):
            raise InputError(
                f"images of {image.shape[2]} x {image.shape[3]} pixels; this model paints those of {size} x {size}, "
                "its encoder's image_size"
            )
        if self.hole == "random":
            return random_region(sample_key, size, size, self.random_stream, self.fraction)
        return center_hole(size, size, self.fraction).to(image.device).expand(len(image), -1, -1, -1)

    def _cut(self, image: Tensor, hole: Tensor) -> Tensor:
        """Returns images with the hole filled by the encoder's mean color."""
        return torch.where(hole, self.encoder.mean.to(image.dtype), image)

    def _paint(self, image: Tensor, hole: Tensor) -> Tensor:
        """Returns painted images, (B, 3, H, W) in [0, 1], made from what is outside the hole."""
        painted = self.decoder(self.encoder.grid(self._cut(image, hole))).sigmoid()
        return F.interpolate(painted, image.shape[2:], mode="bilinear") if painted.shape != image.shape else painted


def discriminator(size: int, width: int = 64) -> nn.Sequential:
    """Builds a network that tells images from painted ones.

    Args:
        size: Side of the images in pixels.
        width: Number of channels of the first layer; each halving of size doubles them, up to eight times.

    Returns:
        A network from (B, 3, H, W) in [0, 1] to (B, 1, h, w) logits, one for each of 4 to 7 regions a side.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    inside = width
    for _ in range(max(0, int(math.log2(size / 8)))):
        after = min(2 * inside, 8 * width)
        layers += [nn.Conv2d(inside, after, 4, 2, 1, bias=False), nn.GroupNorm(math.gcd(after, 8), after)]
        layers.append(nn.LeakyReLU(0.2))
        inside = after
    return nn.Sequential(*layers, nn.Conv2d(inside, 1, 3, padding=1))
