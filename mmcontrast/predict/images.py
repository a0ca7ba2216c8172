"""What predictors take as pictures, and square uint8 batches of them, decoded ahead in the background."""

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

from mmcontrast.data.decode import EXTENSIONS, Interpolation, load
from mmcontrast.data.folders import files_in
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError

SUFFIXES = frozenset(f".{extension}" for extension in EXTENSIONS)
Picture = str | Path | bytes | Image.Image | np.ndarray | Tensor
Pictures = Picture | os.PathLike[str] | Iterable[Picture | os.PathLike[str]]
T = TypeVar("T")


class Batch(NamedTuple):
    """Consecutive pictures: ``image`` (B', 3, S, S) uint8 holds the readable ones in order, ``errors`` (B) the rest."""

    image: Tensor
    errors: list[str | None]


def picture_files(*places: str | os.PathLike[str]) -> list[Path]:
    """Files as given, folders as the picture files in them at any depth, sorted, less hidden ones; each path once."""
    found: dict[Path, None] = {}
    for place in map(Path, places):
        found.update(dict.fromkeys(_inside(place) if place.is_dir() else [place]))
    return list(found)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder / name for name in files_in(folder) if Path(name).suffix.lower() in SUFFIXES)


def each(pictures: Pictures) -> Iterator[Picture]:
    """One picture, an array or a tensor of several, a folder, or any iterable of these -> picture by picture."""
    if isinstance(pictures, str | os.PathLike):
        yield from picture_files(pictures)
    elif isinstance(pictures, np.ndarray | Tensor) and pictures.ndim == 4:
        yield from pictures
    elif isinstance(pictures, Image.Image | bytes | np.ndarray | Tensor):
        yield pictures
    elif isinstance(pictures, Iterable):
        for picture in pictures:
            yield from each(picture)
    else:
        raise InputError(
            f"a {type(pictures).__name__} is no picture; give a path, a PIL image, a uint8 array (H, W, 3), "
            "a uint8 tensor (3, H, W), or several of them"
        )


class Square(TypedDict):
    """How pictures become squares: arguments of ``load`` and of the data sets."""

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


def batches(pictures: Pictures, encoder: Encoder, batch_size: int) -> Iterator[Batch]:
    """Any pictures as square batches for an encoder's pooled face, decoded ahead."""
    return read_ahead(partial(load, **square(encoder)), each(pictures), batch_size)


def read_ahead(read: Callable[[T], Tensor], items: Iterable[T], batch_size: int, ahead: int = 2) -> Iterator[Batch]:
    """Batches in the order of ``items``; threads read up to ``ahead`` of them while the caller works on one.

    Args:
        read: makes a picture, (3, S, S) uint8, of an item; an ``InputError`` it raises becomes an entry of ``errors``.
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
