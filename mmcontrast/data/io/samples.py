"""Members grouped to samples: an image and the texts that belong to it."""

from collections.abc import Sequence

import numpy as np

from mmcontrast.data.io.archives import TEXTS, Folder, Root, Store, extension, open_stores
from mmcontrast.data.io.decode import EXTENSIONS
from mmcontrast.errors import InputError

_COLUMNS = ("image", *TEXTS)


class Samples:
    """Images with their texts, numbered across all stores of a root.

    In shards, members with the same path up to the first dot of the file name form one sample (WebDataset's
    convention).  In folders every image is a sample, and texts of the same name belong to it.

    Args:
        root: a folder, a .tar, .tar.gz or .zip file, a folder of those, a pattern (``{00..31}``, ``*``), or several.
    """

    def __init__(self, root: Root) -> None:
        self.stores = open_stores(root)
        groups = [_group(store) for store in self.stores]
        self.keys = np.concatenate([keys for keys, _ in groups])  # (N,) bytes
        self.members = np.concatenate([members for _, members in groups])  # (N, 4): image, txt, json, cls; -1: none
        self.starts = np.cumsum([0] + [len(keys) for keys, _ in groups])
        if not len(self.keys):
            raise InputError(f"{root}: holds no images ({', '.join(EXTENSIONS)})")

    @classmethod
    def of_files(cls, folder: str, names: Sequence[str]) -> "Samples":
        """The listed images of a folder, each a sample without texts."""
        samples = cls.__new__(cls)
        samples.stores = [Folder(folder, names)]
        samples.keys = np.array([name.encode() for name in names])
        samples.members = np.full((len(names), len(_COLUMNS)), -1)
        samples.members[:, 0] = np.arange(len(names))
        samples.starts = np.array([0, len(names)])
        return samples

    def __len__(self) -> int:
        return len(self.keys)

    def has(self, column: str) -> bool:
        """Whether any sample has a member in the column: "image", "txt", "json" or "cls"."""
        return bool((self.members[:, _COLUMNS.index(column)] >= 0).any())

    def key(self, index: int) -> str:
        """The sample's name inside its folder or shard, without extension."""
        return self.keys[index].decode()

    def name(self, index: int) -> str:
        """What to call the sample in messages."""
        return f"{self._store(index).path}: {self.key(index)}"

    def read(self, index: int, column: str) -> bytes | None:
        """A member's bytes, or None where the sample has none."""
        member = int(self.members[index, _COLUMNS.index(column)])
        return None if member < 0 else self._store(index).read(member)

    def text(self, index: int, column: str) -> str | None:
        """A member as text, or None where the sample has none."""
        data = self.read(index, column)
        if data is None:
            return None
        try:
            return data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise InputError(f"{self.name(index)}.{column} is not UTF-8 text") from None

    def _store(self, index: int) -> Store:
        return self.stores[int(np.searchsorted(self.starts, index, side="right")) - 1]


def _group(store: Store) -> tuple[np.ndarray, np.ndarray]:
    shard = not isinstance(store, Folder)
    images: dict[str, list[int]] = {}  # key -> member numbers, one a column
    texts: dict[str, dict[str, int]] = {}
    for member, name in enumerate(store.names):
        key, suffix = extension(name, first_dot=shard)
        if suffix in TEXTS:
            texts.setdefault(key, {})[suffix] = member
        elif suffix in EXTENSIONS:  # first of EXTENSIONS wins in a shard: KEY.png beside KEY.jpg is a mask
            row = images.setdefault(key if shard else name, [member, -1, -1, -1])
            if EXTENSIONS.index(suffix) < EXTENSIONS.index(extension(store.names[row[0]], shard)[1]):
                row[0] = member
    for name, row in images.items():
        found = texts.get(name if shard else extension(name, first_dot=False)[0], {})
        row[1:] = [found.get(column, -1) for column in TEXTS]
    keys = np.array([key.encode() for key in images] or [], dtype=np.bytes_)
    return keys, np.array(list(images.values()), np.int64).reshape(-1, len(_COLUMNS))
