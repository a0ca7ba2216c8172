"""Features of a whole data set, extracted once and kept in shards: a broken run goes on where it stopped."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mmcontrast.data.datasets.image_text import ImageText
from mmcontrast.data.datasets.images import Images
from mmcontrast.data.io.samples import Samples
from mmcontrast.data.sampler import SampleKey
from mmcontrast.inference.cache import cache_directory, content_key, fingerprint, load_array, save_array
from mmcontrast.inference.image_batches import read_ahead, to_float

SHARD = 4096  # images
UNREADABLE = -torch.inf  # fills the rows of images that cannot be read


ImageData = Images | ImageText


class Features(NamedTuple):
    """What an encoder says of a data set.

    Attributes:
        vectors: (N, D) float32 on the CPU.
        places: (N,) int64, the sample of the data set that each row belongs to.
        unreadable: names of the samples left out.
    """

    vectors: Tensor
    places: Tensor
    unreadable: list[str]


def extract(
    module: nn.Module,
    embed: Callable[[Tensor], Tensor],
    images: ImageData,
    batch_size: int = 64,
    cache: Path | bool = True,
    progress: bool = False,
    places: np.ndarray | None = None,
) -> Features:
    """Embeds images where ``module`` lies, in evaluation mode, without gradients; the mode is then restored.

    Args:
        module: what ``embed`` computes with; its content is part of the cache's key.
        embed: (B, 3, S, S) float in [0, 1] -> (B, D).
        images: the data set; images are decoded in background threads.
        cache: a folder, True for the user's cache folder, False for none.
        progress: whether to show a bar on a terminal's stderr.
        places: (N,) the samples to embed; None: all.
    """
    folder = None
    wanted: np.ndarray = np.arange(len(images)) if places is None else places
    if cache is not False:
        pixels = images.pixels
        what = f"{getattr(embed, '__qualname__', embed)} {pixels.size} {pixels.fit} {pixels.interpolation}"
        key = content_key(
            ["features 1", fingerprint(module), what, *_identity(images.samples)]
            + ([] if places is None else [str(places.tolist())])
        )
        folder = (cache_directory() if cache is True else Path(cache)) / "features" / key
    shards = []
    bar = tqdm(total=len(wanted), unit="image", disable=None if progress else True, leave=False)
    with bar, evaluating(module):
        for start in range(0, len(wanted), SHARD):
            part = wanted[start : start + SHARD]
            file = folder and folder / f"{start:09d}.npy"
            shard = load_array(file) if file else None
            if shard is None or len(shard) != len(part):
                shard = _shard(module, embed, images, part, batch_size, bar)
                if file:
                    save_array(file, shard)
            else:
                bar.update(len(part))
            shards.append(shard)
    width = max(shard.shape[1] for shard in shards)
    vectors = torch.cat([shard.expand(-1, width) for shard in shards])  # (N, D)
    readable = vectors[:, 0] != UNREADABLE
    found = torch.from_numpy(wanted)
    return Features(vectors[readable], found[readable], [images.name(place) for place in found[~readable].tolist()])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; afterwards every part is back in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, training in modes:
            part.training = training


def _shard(
    module: nn.Module,
    embed: Callable[[Tensor], Tensor],
    images: ImageData,
    places: np.ndarray,
    batch_size: int,
    bar: tqdm,
) -> Tensor:
    device = next(chain(module.parameters(), module.buffers())).device
    blocks: list[Tensor] = []
    readable: list[bool] = []
    for image, errors in read_ahead(lambda place: images.pixels(SampleKey(place)), places.tolist(), batch_size):
        if len(image):
            blocks.append(embed(to_float(image, device)).float())
        readable += [error is None for error in errors]
        bar.update(len(errors))
    vectors = torch.cat(blocks).cpu() if blocks else torch.empty(0, 1)
    shard = torch.full((len(places), vectors.shape[1]), UNREADABLE)
    shard[torch.tensor(readable)] = vectors
    return shard


def _identity(samples: Samples) -> Iterator[str]:
    """Names, sizes and times of what the images are read from."""
    for store in samples.stores:
        files = [os.path.join(store.path, name) for name in store.names] if os.path.isdir(store.path) else [store.path]
        for file in files:
            status = os.stat(file)
            yield f"{os.path.abspath(file)} {status.st_size} {status.st_mtime_ns}"
    yield from (key.decode("utf-8", "surrogateescape") for key in samples.keys)
