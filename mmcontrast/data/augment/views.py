"""Augmentations of whole batches on their device, keyed by sample: uint8 in, float in [0, 1] out.

A sample is augmented alike on any device, in any batch, on any number of ranks and after any resume, because every
random number is a function of ``batch["sample_key"]``.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.data.augment import photometric
from mmcontrast.data.augment.crops import ATTEMPTS, random_boxes, resample
from mmcontrast.data.augment.entries import require_entries
from mmcontrast.errors import InputError
from mmcontrast.ops.random import uniform

# Random numbers of a sample's view: box, flip, jitter, its order and factors, gray, blur, sigma, solarize, low.
_DRAWS = (2 * ATTEMPTS + 2, 1, 1, 4, 4, 1, 1, 1, 1, 1)
# Bytes of the views to compute together; on a CPU they should roughly fit into its cache.
_TOGETHER = {"cpu": 4 << 20, "cuda": 128 << 20}


class ToFloat(nn.Module):
    """A module without augmentation: it turns ``image`` (B, 3, H, W) uint8 to float in [0, 1].

    Args:
        size: Side in pixels to which all images are resized (antialiased bilinear, without regard to their shape);
            None keeps their size.
    """

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self.size = size

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch with ``image`` as float; raises InputError where the batch has no ``image``.

        Args:
            batch: ``image`` (B, 3, H, W) uint8.
        """
        require_entries(self, batch, "image")
        image = batch["image"].float().div_(255)
        if self.size is not None and tuple(image.shape[2:]) != (self.size, self.size):
            image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        return {**batch, "image": image}


class Views(nn.Module):
    """A module that draws random views of images: region, flip, color jitter, gray, blur, solarization, resolution.

    Args:
        size: Side S of the view in pixels; None means the height of the image.
        scale: Smallest and largest area of the region, as a fraction of the image.
        ratio: Smallest and largest width / height of the region.
        flip: Probability of mirroring.
        jitter: Strengths of brightness, contrast and saturation (factors from 1 - s to 1 + s, at least 0) and of hue
            (turns from -s to s, at most 0.5).
        jitter_probability: Probability of any jitter.
        gray: Probability of grayscale.
        blur: Probabilities of a Gaussian blur, one for each view; their number is the number of views.
        blur_sigma: Smallest and largest standard deviation in pixels.
        blur_kernel: Number of taps, odd; None means a tenth of the size (SimCLR).
        solarize: Probabilities of inverting the values above one half, one for each view.
        low_resolution: Probability of shrinking a view to ``low_side`` pixels and enlarging it again.
        low_side: Side of the shrunken view in pixels.
    """

    def __init__(
        self,
        size: int | None = None,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        jitter: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        jitter_probability: float = 0.8,
        gray: float = 0.0,
        blur: Sequence[float] = (0.0,),
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        blur_kernel: int | None = None,
        solarize: Sequence[float] | None = None,
        low_resolution: float = 0.0,
        low_side: int = 32,
    ) -> None:
        super().__init__()
        solarize = (0.0,) * len(blur) if solarize is None else solarize
        if not blur or len(blur) != len(solarize):
            raise InputError(f"blur {tuple(blur)}, solarize {tuple(solarize)}: wanted one of each for every view")
        probabilities = (flip, jitter_probability, gray, *blur, *solarize, low_resolution)
        if not all(0 <= p <= 1 for p in probabilities):
            raise InputError(f"probabilities of an augmentation are {probabilities}; wanted each in [0, 1]")
        if not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise InputError(f"scale {scale}, ratio {ratio}: wanted 0 < smallest <= largest, and scale at most 1")
        if len(jitter) != 4 or min(jitter) < 0 or jitter[3] > 0.5:
            raise InputError(f"jitter is {tuple(jitter)}; wanted four strengths >= 0, the last (hue) at most 0.5")
        self.size, self.scale, self.ratio, self.flip = size, scale, ratio, flip
        self.jitter, self.jitter_probability, self.gray = tuple(jitter), jitter_probability, gray
        self.blur, self.blur_sigma, self.blur_kernel = tuple(blur), blur_sigma, blur_kernel
        self.solarize, self.low_resolution, self.low_side = tuple(solarize), low_resolution, low_side

    def forward(self, image: Tensor, sample_key: Tensor, first: int = 0) -> list[Tensor]:
        """Returns the views, a list of (B, 3, S, S) float in [0, 1].

        Args:
            image: Images, (B, 3, H, W) uint8.
            sample_key: Keys of the random draws, (B,) int64.
            first: Number of the first view, which chooses its random numbers.
        """
        streams = range(first, first + len(self.blur))
        numbers = torch.stack([uniform(sample_key, sum(_DRAWS), stream) for stream in streams])  # (V, B, 37)
        size = self.size or image.shape[2]
        limit = _TOGETHER.get(image.device.type, _TOGETHER["cuda"])
        count = max(1, limit // (12 * size * size * len(streams)))  # images
        parts = zip(image.split(count), numbers.split(count, 1), strict=True)
        chunks = [self._views(part, drawn, size) for part, drawn in parts]  # (V, count, 3, S, S) each
        return list((chunks[0] if len(chunks) == 1 else torch.cat(chunks, 1)).unbind())

    def _views(self, image: Tensor, numbers: Tensor, size: int) -> Tensor:
        """Returns views (V, B, 3, S, S) of (B, 3, H, W) uint8 images, from (V, B, 37) random numbers."""
        views, count = numbers.shape[:2]
        image = image.repeat(views, 1, 1, 1)  # (V B, 3, H, W)
        box, flip, jitter, order, factors, gray, blur, sigma, solarize, low = numbers.flatten(0, 1).split(_DRAWS, 1)
        boxes = random_boxes(box, image.shape[2], image.shape[3], self.scale, self.ratio)
        image = resample(image.float().div_(255), boxes, flip[:, 0] < self.flip, size)
        if any(self.jitter) and self.jitter_probability:
            active = jitter[:, 0] < self.jitter_probability
            image = photometric.jitter(image, order.argsort(1), self._factors(factors), active)
        if self.gray:
            image = photometric.gray(image, gray[:, 0] < self.gray)
        if any(self.blur):
            sigma = self.blur_sigma[0] + (self.blur_sigma[1] - self.blur_sigma[0]) * sigma[:, 0]
            kernel = self.blur_kernel or (size // 10) | 1
            image = photometric.blur(image, sigma, blur[:, 0] < _for_each(self.blur, blur), kernel)
        if any(self.solarize):
            image = photometric.solarize(image, solarize[:, 0] < _for_each(self.solarize, solarize))
        if self.low_resolution:
            image = photometric.low_resolution(image, low[:, 0] < self.low_resolution, self.low_side)
        batched: Tensor = image.unflatten(0, (views, count))
        return batched

    def _factors(self, uniform: Tensor) -> Tensor:
        """Returns three factors and the turns of the hue, (B, 4), from uniform numbers in [0, 1)."""
        strength = uniform.new_tensor(self.jitter)
        center = uniform.new_tensor([1.0, 1.0, 1.0, 0.0])
        low = center - strength
        low[:3].clamp_(min=0)
        return low + (center + strength - low) * uniform


class OneView(nn.Module):
    """An augmentation for image-text training that draws one view of each image, (B, 3, S, S) float in [0, 1].

    The default is CLIP's: a region of at least 0.9 of the image and no mirroring (captions know left from right).

    Args:
        size: Side S of the view in pixels; None means the height of the image.
        scale: Smallest and largest area of the region, as a fraction of the image.
        flip: Probability of mirroring.
        jitter: Strengths of brightness, contrast, saturation and hue, see ``Views``.
        jitter_probability: Probability of any jitter.
        gray: Probability of grayscale.
        blur: Probability of a Gaussian blur.
        low_resolution: Probability of shrinking the view to ``low_side`` pixels and enlarging it again.
        low_side: Side of the shrunken view in pixels.
    """

    def __init__(
        self,
        size: int | None = None,
        scale: tuple[float, float] = (0.9, 1.0),
        flip: float = 0.0,
        jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
        jitter_probability: float = 0.8,
        gray: float = 0.0,
        blur: float = 0.0,
        low_resolution: float = 0.0,
        low_side: int = 32,
    ) -> None:
        super().__init__()
        self.views = Views(
            size,
            scale,
            flip=flip,
            jitter=jitter,
            jitter_probability=jitter_probability,
            gray=gray,
            blur=(blur,),
            low_resolution=low_resolution,
            low_side=low_side,
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch with the view as ``image``; raises InputError where an entry is missing.

        Args:
            batch: ``image`` (B, 3, H, W) uint8 and ``sample_key`` (B,) int64.
        """
        require_entries(self, batch, "image", "sample_key")
        return {**batch, "image": self.views(batch["image"], batch["sample_key"])[0]}


class TwoViews(nn.Module):
    """SimCLR's augmentation: it draws two views of each image, the list ``views`` of (B, 3, S, S) float in [0, 1].

    The defaults are SimCLR's for ImageNet (2002.05709, appendix A); for CIFAR it uses ``strength=0.5, blur=(0, 0)``.

    Args:
        size: Side S of a view in pixels; None means the height of the images.
        scale: Smallest and largest area of the region, as a fraction of the image.
        flip: Probability of mirroring.
        strength: Factor s of the strengths of the jitter.
        jitter: Strengths of brightness, contrast, saturation and hue at s = 1.
        jitter_probability: Probability of any jitter.
        gray: Probability of grayscale.
        blur: Probability of a Gaussian blur in the first and in the second view.
        solarize: Probability of solarization in the first and in the second view.
    """

    def __init__(
        self,
        size: int | None = None,
        scale: tuple[float, float] = (0.08, 1.0),
        flip: float = 0.5,
        strength: float = 1.0,
        jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2),
        jitter_probability: float = 0.8,
        gray: float = 0.2,
        blur: tuple[float, float] = (0.5, 0.5),
        solarize: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        strengths = [strength * value for value in jitter]
        self.views = Views(
            size,
            scale,
            flip=flip,
            jitter=strengths,
            jitter_probability=jitter_probability,
            gray=gray,
            blur=blur,
            solarize=solarize,
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch with ``views`` in place of ``image``; raises InputError where an entry is missing.

        Args:
            batch: ``image`` (B, 3, H, W) uint8 and ``sample_key`` (B,) int64.
        """
        require_entries(self, batch, "image", "sample_key")
        return _replace(batch, self.views(batch["image"], batch["sample_key"]))


class MultiCrop(nn.Module):
    """DINO's augmentation (2104.14294): the list ``views`` holds two large views, then several small ones.

    Args:
        size: Side of a large view in pixels.
        small_size: Side of a small view in pixels.
        small_count: Number of small views.
        scale: Area of the region of a large view, as a fraction of the image.
        small_scale: Area of the region of a small view.
    """

    def __init__(
        self,
        size: int = 224,
        small_size: int = 96,
        small_count: int = 8,
        scale: tuple[float, float] = (0.4, 1.0),
        small_scale: tuple[float, float] = (0.05, 0.4),
    ) -> None:
        super().__init__()
        jitter = 0.4, 0.4, 0.2, 0.1
        self.large = Views(size, scale, jitter=jitter, gray=0.2, blur=(1.0, 0.1), solarize=(0.0, 0.2))
        self.small = None
        if small_count:
            self.small = Views(small_size, small_scale, jitter=jitter, gray=0.2, blur=(0.5,) * small_count)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch with ``views`` in place of ``image``; raises InputError where an entry is missing.

        Args:
            batch: ``image`` (B, 3, H, W) uint8 and ``sample_key`` (B,) int64.
        """
        require_entries(self, batch, "image", "sample_key")
        image, sample_key = batch["image"], batch["sample_key"]
        small = [] if self.small is None else self.small(image, sample_key, first=2)
        return _replace(batch, self.large(image, sample_key) + small)


def _replace(batch: dict[str, Any], views: list[Tensor]) -> dict[str, Any]:
    return {**{name: value for name, value in batch.items() if name != "image"}, "views": views}


def _for_each(probability: tuple[float, ...], drawn: Tensor) -> Tensor:
    """Returns (V B,) probabilities, one for each of the (V B, 1) draws, from one for each view."""
    return drawn.new_tensor(probability).repeat_interleave(len(drawn) // len(probability))
