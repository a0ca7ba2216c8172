"""Search for the points of one image in others by their descriptors."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.data.io.decode import ImageSource, decode
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_at_least
from mmcontrast.inference.device import inference_in
from mmcontrast.inference.image_batches import ImageSources
from mmcontrast.methods.base import Method
from mmcontrast.ops.geometry import pixel_grid, sample, to_pixels
from mmcontrast.predict.base import Model, Predictor, image_encoder
from mmcontrast.predict.results import ImageArray, Matches, MutualMatches, Result

Points = Sequence[tuple[float, float]] | npt.NDArray[np.floating[Any]]
_DISTANCES = 1 << 24  # computed at a time


class _Described(NamedTuple):
    """The descriptors (D, H, W) of an image, and their squared lengths (H, W)."""

    map: Tensor
    squared: Tensor


class DescriptorMatcher(Predictor[Matches]):
    """Matches the points of a reference image in other images, by the nearest descriptor.

    The descriptors of the reference and of the last other image stay on the device, so that further points of the
    same pair are found quickly. Memory is D x H x W x 4 bytes per image. See ``Predictor`` for the images that it
    takes.

    Example:
        >>> import numpy as np
        >>> reference = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
        >>> match = DescriptorMatcher("lab")
        >>> match.set_reference(reference)
        >>> (matches,) = match(reference, at=[(20, 12)])
        >>> matches.xy.shape, matches.confidence.shape
        (torch.Size([1, 2]), torch.Size([1]))

    Args:
        model: A method with descriptors of pixels (``DenseObjectNet``), or any other model of images: its features are
            normalized to unit length and interpolated.
        device: See ``Predictor``.
        batch_size: See ``Predictor``; images of one size are described together.
        resolution: Short side in pixels at which the network sees images. None stands for their own.
        dtype: See ``Predictor``.
        subpixel: Whether to place matches between pixels, by a parabola through the distances of the neighbors.
    """

    model: Any

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 1,
        resolution: int | None = None,
        dtype: torch.dtype | str | None = None,
        subpixel: bool = True,
    ) -> None:
        check_at_least("resolution", resolution, 16)
        super().__init__(model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype)
        self.subpixel = subpixel
        self.reference: _Described | None = None
        self._last: tuple[bytes, _Described] | None = None

    def set_reference(self, image: ImageSource) -> None:
        """Chooses the image whose points are searched for in others.

        Raises:
            InputError: The image cannot be read.
        """
        (self.reference,) = self._describe([decode(image)])

    def stream(self, images: ImageSources, /, at: Points) -> Iterator[Result[Matches]]:
        """Yields one result per image; see ``Predictor``.

        Args:
            images: The images to search.
            at: Q points (x, y) of the reference in pixels.

        Returns:
            An iterator over the results.

        Raises:
            InputError: There is no reference yet, or a point lies outside it.
        """
        query = self._queries(at)
        return self._run(images, decode, lambda arrays: [self._find(query, target) for target in self._targets(arrays)])

    def find(self, image: ImageSource, at: Points) -> Matches:
        """Returns the matches in one image; see ``stream``."""
        (matches,) = self(image, at=at)
        return matches

    def heatmap(self, image: ImageSource, at: tuple[float, float]) -> Tensor:
        """Returns how similar every pixel of an image is to a point of the reference.

        Args:
            image: The image to search.
            at: The point (x, y) of the reference in pixels.

        Returns:
            (H, W) float32 in (0, 1] on the CPU: exp(-4 (d - best) / (mean - best)) of squared distances, 1 at the best
            pixel.

        Raises:
            InputError: The image cannot be read, there is no reference yet, or the point lies outside it.
        """
        query, (target,) = self._queries([at]), self._targets([decode(image)])
        with torch.inference_mode():
            squared = _squared_distances(query, target)[0]
            best = squared.amin()
            scale = -4 / (squared.mean() - best).clamp(min=1e-12)
            return squared.sub_(best).mul_(scale).exp_().view(target.map.shape[1:]).cpu()

    @torch.inference_mode()
    def mutual(self, image: ImageSource, step: int = 4) -> MutualMatches:
        """Returns pairs of pixels of the reference and another image that are each other's nearest.

        Args:
            image: The other image.
            step: Distance in pixels, each way, of the pixels that are compared.

        Returns:
            The pairs, nearest first.

        Raises:
            InputError: The image cannot be read, there is no reference yet, or step is below 1.
        """
        check_at_least("step", step, 1)
        sides = (self._reference(), *self._targets([decode(image)]))
        first = min(step // 2, *(size - 1 for side in sides for size in side.map.shape[1:]))
        maps = [side.map[:, first::step, first::step] for side in sides]
        pixels = [pixel_grid(m.shape[1], m.shape[2], self.device) * step + first for m in maps]
        a, b = (m.flatten(1).T.contiguous() for m in maps)  # (n, D), (m, D)
        forth, back = _nearest(a, b), _nearest(b, a)
        index = torch.arange(len(a), device=self.device)
        pair = index[back[forth] == index]
        distance = (a[pair] - b[forth[pair]]).norm(dim=1)
        order = distance.argsort()
        pair = pair[order]
        return MutualMatches(pixels[0][pair].cpu(), pixels[1][forth[pair]].cpu(), distance[order].cpu())

    def describe(self, image: ImageSource) -> Tensor:
        """Returns (D, H, W) float32 on the device, a descriptor for every pixel of an image.

        Raises:
            InputError: The image cannot be read.
        """
        return self._describe([decode(image)])[0].map

    def check(self, at: Points) -> npt.NDArray[np.float32]:
        """Returns points of the reference as (Q, 2) float32.

        Raises:
            InputError: The points are no pairs, or one lies outside the reference; the message names it.
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

    def _adapt(self, model: Method | Encoder) -> Any:
        if isinstance(model, Method) and hasattr(model, "describe"):
            return model
        return image_encoder(model).for_dense_tasks()

    def _describe(self, images: list[ImageArray]) -> list[_Described]:
        """Returns the descriptors of images; those of one size go through the network together."""
        described: dict[int, _Described] = {}
        for shape in {image.shape for image in images}:
            indices = [i for i, image in enumerate(images) if image.shape == shape]
            stack = np.stack([images[i] for i in indices])
            with inference_in(self.device, self.dtype):
                batch = torch.from_numpy(stack).to(self.device).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)
                maps = self._descriptors(batch).float()  # (B, D, H, W)
                described |= {i: _Described(m, m.square().sum(0)) for i, m in zip(indices, maps, strict=True)}
        return [described[i] for i in range(len(images))]

    def _descriptors(self, batch: Tensor) -> Tensor:
        """Returns the descriptors (B, D, H, W) of images (B, 3, H, W) in [0, 1]."""
        height, width = batch.shape[2:]
        if self.resolution is not None and (scale := self.resolution / min(height, width)) != 1:
            size = (round(height * scale), round(width * scale))
            batch = F.interpolate(batch, size, mode="bilinear", antialias=True)
        resized = batch.shape[2:]
        descriptors: Tensor
        if isinstance(self.model, Encoder):
            stride = self.model.stride
            batch = F.pad(batch, (0, -resized[1] % stride, 0, -resized[0] % stride), mode="replicate")
            grid = F.normalize(self.model.grid(batch), dim=1)
            descriptors = F.normalize(to_pixels(grid, stride, *resized), dim=1)
        else:
            descriptors = self.model.describe(batch)
        if descriptors.shape[2:] != (height, width):
            descriptors = F.interpolate(descriptors, (height, width), mode="bilinear", align_corners=False)
        return descriptors

    def _reference(self) -> _Described:
        if self.reference is None:
            raise InputError("no reference image; call set_reference(image) first")
        return self.reference

    def _targets(self, images: list[ImageArray]) -> list[_Described]:
        """Returns the descriptors of images. Those of the last image are remembered by its pixels."""
        keys = [_content(image) for image in images]
        remembered = dict([self._last]) if self._last else {}
        missing = [i for i, key in enumerate(keys) if key not in remembered]
        described = dict(zip(missing, self._describe([images[i] for i in missing]), strict=True))
        targets = [described.get(i) or remembered[key] for i, key in enumerate(keys)]
        self._last = keys[-1], targets[-1]
        return targets

    def _queries(self, at: Points) -> Tensor:
        """Returns the descriptors (Q, D) of points of the reference."""
        points = torch.from_numpy(self.check(at)).to(self.device)
        with torch.inference_mode():
            return sample(self._reference().map[None], points[None])[0]

    def _find(self, query: Tensor, target: _Described) -> Matches:
        """Returns the matches of descriptors (Q, D)."""
        with torch.inference_mode():
            height, width = target.map.shape[1:]
            every_pixel = pixel_grid(height, width, self.device)  # (H W, 2)
            apart = 0.05 * float(np.hypot(height, width))
            parts = []
            for some in torch.split(query, max(1, _DISTANCES // (height * width))):
                squared = _squared_distances(some, target).view(-1, height, width)
                best = squared.flatten(1).argmin(1)  # (q,)
                xy = every_pixel[best]
                smallest = (target.map.flatten(1)[:, best].T - some).norm(dim=1)  # exact where the product rounds
                far = (every_pixel - xy[:, None]).square().sum(2) > apart**2  # (q, H W)
                least, second = smallest.square(), squared.flatten(1).masked_fill(~far, torch.inf).amin(1)
                behind = (second - least) / (squared.mean((1, 2)) - least).clamp(min=1e-12)
                confidence = behind.clamp(0, 1).where(second.isfinite(), 0)
                parts.append((_between_pixels(squared, best) if self.subpixel else xy, smallest, confidence))
        return Matches(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))


def _content(image: ImageArray) -> bytes:
    """Returns a key that only images of the same pixels share."""
    digest = hashlib.sha1(np.ascontiguousarray(image).data, usedforsecurity=False).digest()
    return digest + str(image.shape).encode()


def _squared_distances(query: Tensor, target: _Described) -> Tensor:
    """Returns the squared distances (Q, H W) of (Q, D) to every pixel, by |a|^2 + |b|^2 - 2 a b."""
    own = query.square().sum(1, keepdim=True) + target.squared.flatten()  # (Q, H W)
    return own.addmm_(query, target.map.flatten(1), alpha=-2)


def _between_pixels(squared: Tensor, best: Tensor) -> Tensor:
    """Returns (Q, 2) pixels at the bottom of parabolas.

    Args:
        squared: (Q, H, W) squared distances.
        best: (Q,) index of the smallest of each.
    """
    count, height, width = squared.shape
    row = torch.arange(count, device=squared.device)
    y, x = best.div(width, rounding_mode="floor"), best % width
    center = squared[row, y, x]
    steps = []
    for at, last, dx, dy in ((x, width - 1, 1, 0), (y, height - 1, 0, 1)):
        before = squared[row, (y - dy).clamp(min=0), (x - dx).clamp(min=0)]
        after = squared[row, (y + dy).clamp(max=height - 1), (x + dx).clamp(max=width - 1)]
        bend = before + after - 2 * center
        step = ((before - after) / (2 * bend).clamp(min=1e-20)).clamp(-0.5, 0.5)
        steps.append(torch.where((bend > 0) & (at > 0) & (at < last), step, 0))
    return torch.stack([x + steps[0], y + steps[1]], 1)


def _nearest(a: Tensor, b: Tensor) -> Tensor:
    """Returns (n,), for each of a (n, D) the index of the nearest of b (m, D)."""
    length = b.square().sum(1)
    return torch.cat([(length - 2 * part @ b.T).argmin(1) for part in torch.split(a, max(1, _DISTANCES // len(b)))])
