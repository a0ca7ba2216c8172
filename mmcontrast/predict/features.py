"""Features of images: pooled vectors, features of patches, attention and activations."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.io.decode import decode
from mmcontrast.data.io.decode import load as load_image
from mmcontrast.encoders.base import Encoder
from mmcontrast.inference.device import inference_in
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.inference.image_batches import ImageSource, ImageSources, preprocessing, to_float
from mmcontrast.methods.base import Method
from mmcontrast.predict.base import Model, Predictor, image_encoder
from mmcontrast.predict.results import ImageArray, ImageFeatures, Result


class FeatureExtractor(Predictor[ImageFeatures]):
    """Features of images, by any image encoder.

    See ``Predictor`` for the models and the images that it takes.

    Example:
        >>> import numpy as np
        >>> extract = FeatureExtractor("clip-lite", resolution=160)
        >>> image = np.zeros((64, 96, 3), np.uint8)
        >>> extract.pooled([image, image]).shape
        torch.Size([2, 1280])
        >>> extract.grid(image).shape
        torch.Size([5, 8, 1280])

    Args:
        model: See ``Predictor``.
        device: See ``Predictor``.
        batch_size: See ``Predictor``; for pooled vectors. Grids are computed image by image.
        resolution: Short side in pixels of the image from which ``grid``, ``attention`` and ``activations`` are
            computed; the aspect ratio stays. None stands for twice the encoder's own size. Pooled vectors are
            computed at the encoder's own size.
        dtype: See ``Predictor``.
    """

    model: Encoder

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        resolution: int | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> None:
        super().__init__(model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype)
        self.frames = FrameFeatures(self.model, self.resolution or 2 * self.model.image_size)

    @property
    def encoder(self) -> Encoder:
        """The encoder, on the device."""
        return self.model

    def stream(self, images: ImageSources, /) -> Iterator[Result[ImageFeatures]]:
        """Yields one result per image; see ``Predictor``."""
        return self._run(images, partial(load_image, **preprocessing(self.model)), self._pooled)

    def pooled(self, images: ImageSources) -> Tensor:
        """Returns (N, D) float32 on the CPU, the encoder's pooled output for each image.

        Raises:
            InputError: An image cannot be read.
        """
        rows = [result.pooled for result in self(images)]
        return torch.stack(rows) if rows else torch.empty(0, self.model.dim)

    def read(self, image: ImageSource) -> ImageArray:
        """Returns an image as (H, W, 3) uint8; a large JPEG is decoded smaller, yet no smaller than ``resolution``.

        Raises:
            InputError: The image cannot be read.
        """
        return decode(image, at_least=self.frames.resolution)

    def grid(self, image: ImageSource) -> Tensor:
        """Returns (h, w, D) float32 on the CPU: the unit vectors of the patches.

        Raises:
            InputError: The image cannot be read.
        """
        with inference_in(self.device, self.dtype):
            grid: Tensor = self.frames(self.read(image))
        return grid.cpu()

    def attention(self, image: ImageSource) -> Tensor:
        """Returns (heads, h, w) float32 on the CPU: the last block's attention of the class token to the patches.

        Raises:
            InputError: The encoder has no attention, or the image cannot be read.
        """
        with inference_in(self.device, self.dtype):
            return self.model.attention(self._whole(image))[0].float().cpu()

    def activations(self, image: ImageSource) -> Tensor:
        """Returns (blocks, h, w) float32 on the CPU: how active each block is, on the grid of the finest block.

        These are sums of squares over channels (Zagoruyko and Komodakis 2017, 1612.03928), as in RotNet's figure 3.

        Raises:
            InputError: The image cannot be read.
        """
        with inference_in(self.device, self.dtype):
            maps = [block.float().square().sum(1, keepdim=True) for block in self.model.blocks(self._whole(image))]
            size = max((block.shape[2:] for block in maps), key=lambda shape: shape[0])
            return torch.cat([F.interpolate(block, size, mode="bilinear") for block in maps], 1)[0].cpu()

    def _adapt(self, model: Method | Encoder) -> Encoder:
        return image_encoder(model)

    def _pooled(self, images: list[Tensor]) -> list[ImageFeatures]:
        """Returns the pooled features of (3, S, S) uint8 images."""
        with inference_in(self.device, self.dtype):
            pooled = self.model(to_float(torch.stack(images), self.device)).float().cpu()  # (B, D)
        return [ImageFeatures(row) for row in pooled.clone()]

    def _whole(self, image: ImageSource) -> Tensor:
        """Returns (1, 3, H, W) in [0, 1] on the device, at the resolution of grids."""
        frame = self.read(image)
        pixels = torch.from_numpy(np.require(frame, requirements="W")).permute(2, 0, 1)[None]
        size = self.frames.size(*frame.shape[:2])
        return F.interpolate(to_float(pixels.contiguous(), self.device), size, mode="bilinear", antialias=True)
