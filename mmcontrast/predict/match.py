"""Find a point of one image in another by its descriptor."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.io.decode import ImageSource, decode
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.device import choose_device
from mmcontrast.methods.base import Method
from mmcontrast.models.loading import load
from mmcontrast.ops.geometry import pixel_grid, sample, to_pixels

Points = Sequence[tuple[float, float]] | np.ndarray
_AT_ONCE = 1 << 24  # distances computed at a time


class Found(NamedTuple):
    """Where Q points were found.

    Attributes:
        xy: (Q, 2) pixels.
        distance: (Q,) between descriptors.
        confidence: (Q,) in [0, 1], of squared distances: how far the second best, further away than a 20th of the
            diagonal, is behind, in terms of the mean over the image; 0 where the image is too small to have one.
    """

    xy: Tensor
    distance: Tensor
    confidence: Tensor


class Described(NamedTuple):
    """Descriptors (D, H, W) of an image, and their squared lengths (H, W)."""

    map: Tensor
    squared: Tensor


class DescriptorMatcher:
    """Matches points by nearest descriptor.

        match = DescriptorMatcher("runs/dense-lite")
        match.set_reference("a.png")
        xy, distance = match("b.png", at=[(120, 80)])

    The descriptors of the reference and of the last other image stay on the device, so that further points of the
    same pair cost one product.

    Args:
        model: what ``load`` names or gives: a method with pixel descriptors (``DenseObjectNet``), or any encoder with a
            grid, whose features are made unit length and interpolated.  Memory is D x H x W x 4 bytes an image.
        device: None is CUDA where there is one, else the CPU.
        resolution: short side in pixels at which the network sees images; None: their own.
        subpixel: place matches between pixels by a parabola through the neighboring distances.
    """

    def __init__(
        self,
        model: Method | Encoder | str | Path,
        device: str | torch.device | None = None,
        resolution: int | None = None,
        subpixel: bool = True,
    ) -> None:
        if isinstance(model, str | Path):
            model = load(model)
        if isinstance(model, Method) and not hasattr(model, "describe"):
            model = model.encoder
        if isinstance(model, Encoder):
            model = model.for_dense_tasks()
        if resolution is not None and resolution < 16:
            raise InputError(f"resolution is {resolution}; wanted at least 16 pixels")
        self.device = choose_device(device)
        self.model: Any = model.to(self.device).eval()
        self.resolution, self.subpixel = resolution, subpixel
        self.reference: Described | None = None
        self._last: tuple[bytes, Described] | None = None

    @torch.inference_mode()
    def describe(self, image: ImageSource) -> Tensor:
        """A path, PIL image, array (H, W, 3) or tensor (3, H, W) -> (D, H, W) float32, a descriptor for every pixel."""
        pixels = torch.from_numpy(np.require(decode(image), requirements=["C", "W"])).to(self.device)
        batch = pixels.permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        height, width = batch.shape[2:]
        if self.resolution is not None and (scale := self.resolution / min(height, width)) != 1:
            size = (round(height * scale), round(width * scale))
            batch = F.interpolate(batch, size, mode="bilinear", antialias=True)
        seen = batch.shape[2:]
        if isinstance(self.model, Encoder):
            stride = self.model.stride
            batch = F.pad(batch, (0, -seen[1] % stride, 0, -seen[0] % stride), mode="replicate")
            grid = F.normalize(self.model.grid(batch), dim=1)
            found = F.normalize(to_pixels(grid, stride, *seen), dim=1)
        else:
            found = self.model.describe(batch)
        if found.shape[2:] != (height, width):
            found = F.interpolate(found, (height, width), mode="bilinear", align_corners=False)
        return found[0]

    def set_reference(self, image: ImageSource) -> None:
        """The image that ``at`` points into."""
        self.reference = self._described(image)

    def __call__(self, image: ImageSource, at: Points) -> tuple[Tensor, Tensor]:
        """Where points of the reference are in another image: (Q, 2) pixels and (Q,) descriptor distances."""
        found = self.find(image, at)
        return found.xy, found.distance

    @torch.inference_mode()
    def find(self, image: ImageSource, at: Points) -> Found:
        """The same, with how far each match stands out.

        Args:
            image: the image to look in.
            at: Q points (x, y) of the reference in pixels.
        Raises:
            InputError: no reference yet, or a point outside it.
        """
        query, target = self._queries(at), self._target(image)
        height, width = target.map.shape[1:]
        everywhere = pixel_grid(height, width, self.device)  # (H W, 2)
        apart = 0.05 * float(np.hypot(height, width))
        parts = []
        for some in query.split(max(1, _AT_ONCE // (height * width))):
            squared = _squared_distances(some, target).view(-1, height, width)
            best = squared.flatten(1).argmin(1)  # (q,)
            xy = everywhere[best]
            smallest = (target.map.flatten(1)[:, best].T - some).norm(dim=1)  # exact where the product rounds
            far = (everywhere - xy[:, None]).square().sum(2) > apart**2  # (q, H W)
            least, second = smallest.square(), squared.flatten(1).masked_fill(~far, torch.inf).amin(1)
            behind = (second - least) / (squared.mean((1, 2)) - least).clamp(min=1e-12)
            confidence = behind.clamp(0, 1).where(second.isfinite(), 0)
            parts.append(Found(_between_pixels(squared, best) if self.subpixel else xy, smallest, confidence))
        return Found(*(torch.cat(column) for column in zip(*parts, strict=True)))

    @torch.inference_mode()
    def heatmap(self, image: ImageSource, at: tuple[float, float]) -> Tensor:
        """How alike every pixel is to a point of the reference.

        Returns:
            (H, W) in (0, 1]: exp(-4 (d - best) / (mean - best)) of squared distances, 1 at the best pixel.
        """
        target = self._target(image)
        squared = _squared_distances(self._queries([at]), target)[0]
        best = squared.amin()
        scale = -4 / (squared.mean() - best).clamp(min=1e-12)
        return squared.sub_(best).mul_(scale).exp_().view(target.map.shape[1:])

    @torch.inference_mode()
    def mutual(self, image: ImageSource, step: int = 4) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs of pixels of the reference and another image that are each other's nearest.

        Args:
            image: the other image.
            step: every so many pixels, each way, are compared.
        Returns:
            (P, 2) pixels of the reference, (P, 2) of the other, (P,) distances, nearest first.
        """
        if step < 1:
            raise InputError(f"step is {step}; wanted at least 1 pixel")
        sides = (self._reference(), self._target(image))
        first = min(step // 2, *(size - 1 for side in sides for size in side.map.shape[1:]))
        maps = [side.map[:, first::step, first::step] for side in sides]
        places = [pixel_grid(m.shape[1], m.shape[2], self.device) * step + first for m in maps]
        a, b = (m.flatten(1).T.contiguous() for m in maps)  # (n, D), (m, D)
        forth, back = _nearest(a, b), _nearest(b, a)
        own = torch.arange(len(a), device=self.device)
        pair = own[back[forth] == own]
        distance = (a[pair] - b[forth[pair]]).norm(dim=1)
        order = distance.argsort()
        pair = pair[order]
        return places[0][pair], places[1][forth[pair]], distance[order]

    def _described(self, image: ImageSource) -> Described:
        descriptors = self.describe(image)
        return Described(descriptors, descriptors.square().sum(0))

    def _reference(self) -> Described:
        if self.reference is None:
            raise InputError("no reference image; call set_reference(image) first")
        return self.reference

    def _target(self, image: ImageSource) -> Described:
        """The other image's descriptors, remembered by its pixels."""
        pixels = decode(image)
        content = hashlib.sha1(np.ascontiguousarray(pixels).data, usedforsecurity=False).digest()
        digest = content + str(pixels.shape).encode()
        if self._last is None or self._last[0] != digest:
            self._last = digest, self._described(pixels)
        return self._last[1]

    def _queries(self, at: Points) -> Tensor:
        """Descriptors (Q, D) of points of the reference."""
        points = self.check(at)
        return sample(self._reference().map[None], torch.from_numpy(points).to(self.device)[None])[0]

    def check(self, at: Points) -> np.ndarray:
        """Points of the reference as (Q, 2) float32.

        Raises:
            InputError: something else than pairs, or a point outside, naming it and the size.
        """
        height, width = self._reference().map.shape[1:]
        try:
            points = np.asarray(at, dtype=np.float32)
        except (ValueError, TypeError):
            points = np.zeros((1, 1, 1), np.float32)
        if points.size and (points.shape[-1] != 2 or points.ndim > 2):
            raise InputError(f"points {at!r}: wanted pairs of pixels such as [(120, 80), (200, 95)]")
        points = points.reshape(-1, 2)
        for x, y in points.tolist():
            if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
                raise InputError(
                    f"point ({x:g}, {y:g}) lies outside the reference, which has {width} x {height} pixels"
                )
        return points


def _squared_distances(query: Tensor, target: Described) -> Tensor:
    """(Q, D) to every pixel: (Q, H W), by |a|^2 + |b|^2 - 2 a b."""
    own = query.square().sum(1, keepdim=True) + target.squared.flatten()  # (Q, H W)
    return own.addmm_(query, target.map.flatten(1), alpha=-2)


def _between_pixels(squared: Tensor, best: Tensor) -> Tensor:
    """(Q, H, W) squared distances and their least places (Q,) -> (Q, 2) pixels at the bottom of parabolas."""
    count, height, width = squared.shape
    row = torch.arange(count, device=squared.device)
    y, x = best.div(width, rounding_mode="floor"), best % width
    center = squared[row, y, x]
    steps = []
    for place, last, dx, dy in ((x, width - 1, 1, 0), (y, height - 1, 0, 1)):
        before = squared[row, (y - dy).clamp(min=0), (x - dx).clamp(min=0)]
        after = squared[row, (y + dy).clamp(max=height - 1), (x + dx).clamp(max=width - 1)]
        bend = before + after - 2 * center
        step = ((before - after) / (2 * bend).clamp(min=1e-20)).clamp(-0.5, 0.5)
        steps.append(torch.where((bend > 0) & (place > 0) & (place < last), step, 0))
    return torch.stack([x + steps[0], y + steps[1]], 1)


def _nearest(a: Tensor, b: Tensor) -> Tensor:
    """(n, D), (m, D) -> (n,) index of the nearest of b."""
    length = b.square().sum(1)
    return torch.cat([(length - 2 * part @ b.T).argmin(1) for part in a.split(max(1, _AT_ONCE // len(b)))])
