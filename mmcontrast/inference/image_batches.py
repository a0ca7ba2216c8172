"""What predictors take as images, and square uint8 batches of them, decoded ahead in the background."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcontrast.data.io.decode import EXTENSIONS, Interpolation, load
from mmcontrast.data.io.folders import files_in
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError

SUFFIXES = frozenset(f".{extension}" for extension in EXTENSIONS)
ImageSource = str | Path | bytes | Image.Image | np.ndarray | Tensor
ImageSources = ImageSource | os.PathLike[str] | Iterable[ImageSource | os.PathLike[str]]
T = TypeVar("T")


class Batch(NamedTuple):
    """Consecutive images: ``image`` (B', 3, S, S) uint8 holds the readable ones in order, ``errors`` (B) the rest."""

    image: Tensor
    errors: list[str | None]


def image_files(*places: str | os.PathLike[str]) -> list[Path]:
    """Files as given, folders as the image files in them at any depth, sorted, less hidden ones; each path once."""
    found: dict[Path, None] = {}
    for place in map(Path, places):
        found.update(dict.fromkeys(_inside(place) if place.is_dir() else [place]))
    return list(found)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder / name for name in files_in(folder) if Path(name).suffix.lower() in SUFFIXES)


def each(images: ImageSources) -> Iterator[ImageSource]:
    """One image, an array or a tensor of several, a folder, or any iterable of these -> image by image."""
    if isinstance(images, str | os.PathLike):
        yield from image_files(images)
    elif isinstance(images, np.ndarray | Tensor) and images.ndim == 4:
        yield from images
    elif isinstance(images, Image.Image | bytes | np.ndarray | Tensor):
        yield images
    elif isinstance(images, Iterable):
        for image in images:
            yield from each(image)
    else:
        raise InputError(
            f"a {type(images).__name__} is no image; give a path, a PIL image, a uint8 array (H, W, 3), "
            "a uint8 tensor (3, H, W), or several of them"
        )


class Square(TypedDict):
    """How images become squares: arguments of ``load`` and of the data sets."""

    size: int
    fit: Literal["crop", "squash"]
    interpolation: Interpolation


def square(encoder: Encoder) -> Square:
    """The squares that an encoder's pooled face was made for; resized bicubically where it wants what nobody has."""
    return {
        "size": encoder.image_size,
        "fit": "squash" if encoder.crop == "squash" else "crop",
        "interpolation": "bilinear" if encoder.interpolation == "bilinear" else "bicubic",
    }


def batches(images: ImageSources, encoder: Encoder, batch_size: int) -> Iterator[Batch]:
    """Any images as square batches for an encoder's pooled face, decoded ahead."""
    return read_ahead(partial(load, **square(encoder)), each(images), batch_size)


def read_ahead(read: Callable[[T], Tensor], items: Iterable[T], batch_size: int, ahead: int = 2) -> Iterator[Batch]:
    """Batches in the order of ``items``; threads read up to ``ahead`` of them while the caller works on one.

    Args:
        read: makes an image, (3, S, S) uint8, of an item; an ``InputError`` it raises becomes an entry of ``errors``.
    """
    source, pending = iter(items), deque[Future[Tensor]]()
    threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="read-ahead")
    submit = lambda count: pending.extend(threads.submit(read, item) for item in islice(source, count))
    try:
        submit(ahead * batch_size)
        while pending:
            images: list[Tensor] = []
            errors: list[str | None] = []
            for _ in range(min(batch_size, len(pending))):
                try:
                    images.append(pending.popleft().result())
                    errors.append(None)
                except InputError as error:
                    errors.append(str(error))
                submit(1)
            yield Batch(torch.stack(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8), errors)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def to_float(image: Tensor, device: torch.device) -> Tensor:
    """uint8 on the CPU -> float32 in [0, 1] on ``device``; the bus carries the bytes, without a wait."""
    if device.type == "cuda":
        image = image.pin_memory()
    return image.to(device, non_blocking=True).float().div_(255)
