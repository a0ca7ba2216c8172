"""Colors for gray photographs."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.io.decode import decode
from mmcontrast.errors import InputError
from mmcontrast.inference.device import choose_device
from mmcontrast.inference.image_batches import ImageSource, ImageSources, each
from mmcontrast.methods.base import Method
from mmcontrast.methods.colorization import Colorization
from mmcontrast.methods.split_brain import SplitBrain
from mmcontrast.models.loading import load
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab

_STRIP_PIXELS = 1 << 20  # a large image is colored strip by strip, which keeps its copies small


class Colorizer:
    """Colors photographs by their lightness, at full size.

        color = Colorizer("colorization-lite")
        color(["grandmother.jpg", "village.png"])     # two (H, W, 3) uint8 images

    The network sees a small image in gray and gives colors for it; the photograph keeps every detail of its own
    lightness.  What colors a photograph may have had are ignored.

    Args:
        model: a method trained by ``Colorization`` or ``SplitBrain``, or the name of one (``mmcontrast.load``).
        device: None for CUDA where there is one, else the CPU.
        batch_size: images read at once; those of one shape go through the network together.
        resolution: short side in pixels at which the network sees an image; None: its own size.
        temperature: of the annealed mean; near 0 colors are vivid and patchy, at 1 pale and smooth.  None: the
            model's.
    Raises:
        InputError: a model of another kind, or an impossible setting.
    """

    def __init__(
        self,
        model: Method | str | Path,
        device: str | torch.device | None = None,
        batch_size: int = 8,
        resolution: int | None = None,
        temperature: float | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch size {batch_size}: give 1 or more")
        if resolution is not None and resolution < 1:
            raise InputError(f"resolution {resolution}: give a number of pixels")
        if temperature is not None and temperature <= 0:
            raise InputError(f"temperature {temperature}: give a number above 0")
        method = load(model) if isinstance(model, str | Path) else model
        if not isinstance(method, Colorization | SplitBrain):
            raise InputError(
                f"{model if isinstance(model, str | Path) else 'the model'} is a {type(method).__name__}; colors come "
                "from a model trained by Colorization or SplitBrain"
            )
        self.device, self.batch_size = choose_device(device), batch_size
        self.method, self.temperature = method.to(self.device).eval(), temperature
        self.resolution = resolution or method.encoder.image_size

    def __call__(self, images: ImageSources) -> list[np.ndarray]:
        """Images, gray or not -> colored ones of their own sizes, (H, W, 3) uint8 each.

        Raises:
            InputError: for an image that cannot be read.
        """
        colored = []
        for found in self.stream(images):
            if isinstance(found, str):
                raise InputError(found)
            colored.append(found)
        return colored

    def stream(self, images: ImageSources) -> Iterator[np.ndarray | str]:
        """Image by image: (H, W, 3) uint8, or a string that says why it could not be read."""
        source = each(images)
        while batch := list(islice(source, self.batch_size)):
            yield from self._color(batch)

    @torch.inference_mode()
    def _color(self, batch: list[ImageSource]) -> Iterator[np.ndarray | str]:
        frames = [_read(photo) for photo in batch]
        small = {i: self._shrink(frame) for i, frame in enumerate(frames) if not isinstance(frame, str)}
        shapes = {image.shape for image in small.values()}
        ab: dict[int, Tensor] = {}
        for shape in shapes:
            places = [i for i, image in small.items() if image.shape == shape]
            found = self.method.colors(torch.stack([small[i] for i in places]), self.temperature)  # (B, 2, h, w)
            ab |= dict(zip(places, found, strict=True))
        for i, frame in enumerate(frames):
            yield frame if isinstance(frame, str) else paint(frame, ab[i])

    def _shrink(self, frame: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 -> (3, h, w) in [0, 1] on the device, the short side at ``resolution``, of whole cells."""
        stride = self.method.encoder.stride
        cell = 16 if 16 % stride == 0 else stride
        scale = self.resolution / min(frame.shape[:2])
        height, width = (max(1, round(side * scale / cell)) * cell for side in frame.shape[:2])
        pixels = torch.from_numpy(np.require(frame, requirements=["C", "W"])).permute(2, 0, 1)[None]  # (1, 3, H, W)
        small = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)[0]
        return small.to(self.device).float() / 255


def paint(frame: np.ndarray, ab: Tensor) -> np.ndarray:
    """An image's lightness in given colors.

    Args:
        frame: (H, W, 3) uint8, gray or not.
        ab: (2, h, w), brought to the image's size by bilinear interpolation.
    Returns:
        (H, W, 3) uint8; colors outside sRGB are clipped.
    """
    height, width = frame.shape[:2]
    large = F.interpolate(ab[None].float(), (height, width), mode="bilinear")[0]  # (2, H, W)
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = np.require(frame[top : top + rows], requirements=["C", "W"])
        rgb = torch.from_numpy(strip).to(ab.device).permute(2, 0, 1).float() / 255  # (3, rows, W)
        colored = lab_to_rgb(torch.cat([rgb_to_lab(rgb)[:1], large[:, top : top + rows]]))
        out[top : top + rows] = (255 * colored).round().byte().permute(1, 2, 0).cpu().numpy()
    return out


def _read(image: ImageSource) -> np.ndarray | str:
    try:
        return decode(image)
    except InputError as error:
        return str(error)
