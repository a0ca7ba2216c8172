"""Colors for gray photographs."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.io.decode import decode
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_positive
from mmcontrast.inference.device import inference_in
from mmcontrast.inference.image_batches import ImageSources
from mmcontrast.methods.base import Method
from mmcontrast.methods.colorization import Colorization
from mmcontrast.methods.split_brain import SplitBrain
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab
from mmcontrast.predict.base import Model, Predictor
from mmcontrast.predict.results import ColoredImage, ImageArray, Result

_STRIP_PIXELS = 1 << 20  # a large image is colored strip by strip, which keeps its copies small


class Colorizer(Predictor[ColoredImage]):
    """Colors photographs by their lightness, at full size.

    The network gets a small gray image and predicts its colors. The result has the full lightness of the photograph
    and these colors; the photograph's own colors are ignored. See ``Predictor`` for the images that it takes.

    Example:
        >>> import numpy as np
        >>> color = Colorizer("colorization-lite")
        >>> (result,) = color(np.full((64, 96, 3), 128, np.uint8))
        >>> result.image.shape
        (64, 96, 3)

    Args:
        model: A method trained by ``Colorization`` or ``SplitBrain``, its name, or its path.
        device: See ``Predictor``.
        batch_size: See ``Predictor``. Images of one shape go through the network together; three batches of full-size
            images are in memory at once.
        resolution: Short side in pixels at which the network sees an image. None stands for the one it was trained
            with.
        dtype: See ``Predictor``.
        temperature: Of the annealed mean; near 0 colors are vivid and patchy, at 1 they are pale and smooth. None
            stands for the model's.

    Raises:
        InputError: The model was not trained to color, or an option is out of range.
    """

    model: Colorization | SplitBrain

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 8,
        resolution: int | None = None,
        dtype: torch.dtype | str | None = None,
        temperature: float | None = None,
    ) -> None:
        check_positive("temperature", temperature)
        super().__init__(model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype)
        self.temperature = temperature
        self.short_side = self.resolution or self.model.encoder.image_size

    def stream(self, images: ImageSources, /) -> Iterator[Result[ColoredImage]]:
        """Yields one result per image; see ``Predictor``."""
        return self._run(images, decode, self._color)

    def _adapt(self, model: Method | Encoder) -> Colorization | SplitBrain:
        if not isinstance(model, Colorization | SplitBrain):
            raise InputError(
                f"a {type(model).__name__} predicts no colors; give a model trained by Colorization or SplitBrain, "
                "such as 'colorization-lite'"
            )
        return model

    def _color(self, frames: list[ImageArray]) -> list[ColoredImage]:
        """Returns (H, W, 3) uint8 frames in color."""
        with inference_in(self.device, self.dtype):
            small = [self._shrink(frame) for frame in frames]
            ab: dict[int, Tensor] = {}
            for shape in {image.shape for image in small}:
                indices = [i for i, image in enumerate(small) if image.shape == shape]
                predicted = self.model.colors(
                    torch.stack([small[i] for i in indices]), self.temperature
                )  # (B, 2, h, w)
                ab |= dict(zip(indices, predicted.float(), strict=True))
        return [ColoredImage(paint(frame, ab[i])) for i, frame in enumerate(frames)]

    def _shrink(self, frame: ImageArray) -> Tensor:
        """Returns a frame as (3, h, w) in [0, 1] on the device, resized to the resolution and whole grid cells."""
        stride = self.model.encoder.stride
        cell = 16 if 16 % stride == 0 else stride
        scale = self.short_side / min(frame.shape[:2])
        height, width = (max(1, round(side * scale / cell)) * cell for side in frame.shape[:2])
        pixels = torch.from_numpy(np.require(frame, requirements=["C", "W"])).permute(2, 0, 1)[None]  # (1, 3, H, W)
        small = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)[0]
        return small.to(self.device).float() / 255


@torch.inference_mode()
def paint(frame: ImageArray, ab: Tensor) -> ImageArray:
    """Returns an image with its own lightness and other colors.

    Args:
        frame: (H, W, 3) uint8, gray or not.
        ab: (2, h, w), the a and b channels of Lab, which are resized to the image by bilinear interpolation.

    Returns:
        (H, W, 3) uint8. Colors outside sRGB are clipped.
    """
    height, width = frame.shape[:2]
    large = F.interpolate(ab[None].float(), (height, width), mode="bilinear")[0]  # (2, H, W)
    painted = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = np.require(frame[top : top + rows], requirements=["C", "W"])
        rgb = torch.from_numpy(strip).to(ab.device).permute(2, 0, 1).float() / 255  # (3, rows, W)
        colored = lab_to_rgb(torch.cat([rgb_to_lab(rgb)[:1], large[:, top : top + rows]]))
        painted[top : top + rows] = (255 * colored).round().byte().permute(1, 2, 0).cpu().numpy()
    return painted
