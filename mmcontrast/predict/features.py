"""What an encoder sees in images: vectors, patch by patch, and where it looks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.io.decode import decode
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.device import choose_device
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.inference.image_batches import Batch, ImageSource, ImageSources, batches, to_float
from mmcontrast.models.loading import load_encoder


class FeatureExtractor:
    """Features of images, by any encoder.

        see = FeatureExtractor("clip-lite")
        see(["a.jpg", "b.png"])     # (2, D), the pooled face
        see.grid("a.jpg")           # (h, w, D), unit vectors of the patches
        see.attention("a.jpg")      # (heads, h, w) of a vision transformer

    Args:
        model: an encoder, or a name that ``mmcontrast.models.loading.load_encoder`` knows.
        device: None for CUDA where there is one, else the CPU.
        batch_size: images encoded at once for the pooled face.
        resolution: short side in pixels at which patches are seen, the aspect ratio kept; None: twice the encoder's
            own size.
    """

    def __init__(
        self,
        model: Encoder | str | Path,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        resolution: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch size {batch_size}: give 1 or more")
        if resolution is not None and resolution < 1:
            raise InputError(f"resolution {resolution}: give a number of pixels")
        self.device, self.batch_size = choose_device(device), batch_size
        encoder = model if isinstance(model, Encoder) else load_encoder(model)
        self.encoder = encoder.to(self.device).eval()
        self.frames = FrameFeatures(self.encoder, resolution or 2 * encoder.image_size)

    def __call__(self, images: ImageSources) -> Tensor:
        """Images -> (N, D) float32 on the CPU.

        Raises:
            InputError: for an image that cannot be read.
        """
        found = []
        for vectors, errors in self.stream(images):
            for error in filter(None, errors):
                raise InputError(error)
            found.append(vectors)
        return torch.cat(found) if found else torch.empty(0, self.encoder.dim)

    def stream(self, images: ImageSources) -> Iterator[Batch]:
        """Batch by batch: (B', D) vectors of the readable images, and B entries that are None or say what failed."""
        for image, errors in batches(images, self.encoder, self.batch_size):
            yield Batch(self._pooled(image), errors)

    @torch.inference_mode()
    def _pooled(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, D)."""
        if not len(image):
            return torch.empty(0, self.encoder.dim)
        return self.encoder(to_float(image, self.device)).float().cpu()

    def read(self, image: ImageSource) -> np.ndarray:
        """(H, W, 3) uint8, no smaller than patches are seen, where the image is not."""
        return decode(image, at_least=self.frames.resolution)

    @torch.inference_mode()
    def grid(self, image: ImageSource) -> Tensor:
        """(h, w, D) float32 on the CPU, each patch a unit vector."""
        return self.frames(self.read(image)).cpu()

    @torch.inference_mode()
    def attention(self, image: ImageSource) -> Tensor:
        """(heads, h, w) float32 on the CPU: the last block's attention of the class token to the patches.

        Raises:
            InputError: the encoder has no attention.
        """
        return self.encoder.attention(self._whole(image))[0].float().cpu()

    @torch.inference_mode()
    def activations(self, image: ImageSource) -> Tensor:
        """(blocks, h, w) float32 on the CPU: where each block of any network is active, on the finest block's grid.

        Sums of squares over channels (Zagoruyko and Komodakis 2017, 1612.03928), as in RotNet's figure 3.
        """
        maps = [block.float().square().sum(1, keepdim=True) for block in self.encoder.blocks(self._whole(image))]
        size = max((part.shape[2:] for part in maps), key=lambda side: side[0])
        return torch.cat([F.interpolate(part, size, mode="bilinear") for part in maps], 1)[0].cpu()

    def _whole(self, image: ImageSource) -> Tensor:
        """(1, 3, H, W) in [0, 1] on the device, of the resolution at which patches are seen."""
        frame = self.read(image)
        pixels = torch.from_numpy(np.require(frame, requirements="W")).permute(2, 0, 1)[None]
        size = self.frames.size(*frame.shape[:2])
        return F.interpolate(to_float(pixels.contiguous(), self.device), size, mode="bilinear", antialias=True)
