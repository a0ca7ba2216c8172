"""Images with a class for every pixel, from shards and folders."""

import io
import os

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmcontrast.data.datasets.prompt_templates import read_classnames
from mmcontrast.data.io.archives import Folder, Root, Store, extension, open_stores
from mmcontrast.data.io.decode import EXTENSIONS, FORMATS, decode
from mmcontrast.errors import InputError

MASKS = ("mask", "label", "annot", "seg")  # a folder with one of these in its name holds classes


class PixelLabels:
    """Images and their classes, in the order of their names.

    In a shard KEY.png beside KEY.jpg holds the classes of its pixels.  In a folder they lie beside the image in the
    same way, or under the same name in a folder whose name has "mask", "label", "annot" or "seg" in it.

    Args:
        root: a folder, a .tar, .tar.gz or .zip file, a folder of those, a pattern, or several.
    Raises:
        InputError: no image has classes.
    """

    def __init__(self, root: Root) -> None:
        self.stores = open_stores(root)
        self._pairs = [(store, *pair) for store in self.stores for pair in _pairs(store)]
        self.keys = [store.names[image].encode() for store, image, _ in self._pairs]
        if not self._pairs:
            raise InputError(f"{root}: no image with its classes (KEY.png beside KEY.jpg, or a folder of masks)")
        place = str(root) if isinstance(root, str | os.PathLike) else ""
        names = os.path.join(place if os.path.isdir(place) else os.path.dirname(place), "classes.txt")
        self.classes = list(_names(names)) if place and os.path.isfile(names) else []

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, index: int) -> str:
        """Where an image comes from."""
        store, image, _ = self._pairs[index]
        return f"{store.path}: {store.names[image]}"

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        store, image, _ = self._pairs[index]
        return decode(store.read(image), name=self.name(index))

    def labels(self, index: int) -> np.ndarray:
        """(H, W) int64 class numbers.

        Raises:
            InputError: not an image with one number a pixel.
        """
        store, _, mask = self._pairs[index]
        where = f"{store.path}: {store.names[mask]}"
        try:
            with Image.open(io.BytesIO(store.read(mask)), formats=FORMATS) as image:
                if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
                    raise InputError(
                        f"{where}: has {image.mode} pixels; wanted one class number a pixel (gray or palette)"
                    )
                return np.array(image).astype(np.int64)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise InputError(f"{where}: cannot be read as class numbers ({error})") from error


def _pairs(store: Store) -> list[tuple[int, int]]:
    """Numbers of the members that hold an image and its classes."""
    shard = not isinstance(store, Folder)
    images: dict[str, int] = {}
    masks: dict[str, int] = {}
    beside: dict[str, list[int]] = {}
    for member, name in enumerate(store.names):
        key, suffix = extension(name, first_dot=shard)
        if suffix not in EXTENSIONS:
            continue
        folder, _, stem = key.rpartition("/")
        if any(word in folder.lower() for word in MASKS):
            masks[stem] = member
        else:
            images[stem] = member
            beside.setdefault(key, []).append(member)
    found = [(images[stem], masks[stem]) for stem in images if stem in masks]
    for members in beside.values():
        png = [m for m in members if store.names[m].lower().endswith(".png")]
        if len(members) == 2 and len(png) == 1:
            found.append((members[0] if members[1] == png[0] else members[1], png[0]))
    return sorted(found, key=lambda pair: store.names[pair[0]])


def _names(file: str) -> list[str]:
    names = read_classnames(file)
    return list(names.values() if isinstance(names, dict) else names)
