"""The names of class folders: matched by what the folders are called, never dealt out silently by position."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcontrast.data.io.folders import natural_order
from mmcontrast.errors import InputError

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev"}


def class_folders(names: set[str], root: str | Path) -> list[str]:
    """Returns the class folders in the order of their labels, numbers in names as numbers.

    Args:
        names: Names of the folders.
        root: What holds them, for messages.

    Raises:
        InputError: The folders are the splits of a data set, not classes.
    """
    if len(names) > 1 and {name.lower() for name in names} <= _SPLITS:
        splits = sorted(names)
        raise InputError(
            f"{root}: holds the splits {', '.join(splits)}, not class folders; give one of them, such as "
            f"{Path(str(root)) / splits[0]}"
        )
    return sorted(names, key=natural_order)


def match_class_names(
    folders: Sequence[str], names: Sequence[str] | Mapping[str, str], more_names: bool = False
) -> list[str]:
    """Returns the name of each class folder.

    A mapping gives the names by folder, or by WordNet id. A list is matched by the folder's own name (case, spaces,
    ``_`` and ``-`` do not matter), or by its number if all folders are numbers: folder 10 gets the name with index 10.
    If no folder has a name of the list and both have the same length, the names are taken in order, with a warning.

    Args:
        folders: The folders in the order of their labels.
        names: A list of names, or a mapping from folder to name.
        more_names: Whether a list may hold names that no folder has.

    Raises:
        InputError: The names do not fit the folders.
    """
    if isinstance(names, Mapping):
        missing = [folder for folder in folders if folder not in names]
        if len(missing) == len(folders):
            raise InputError(f"no class folder ({_some(folders)}) is among the names by folder ({_some(list(names))})")
        return [names.get(folder, folder) for folder in folders]
    own = {_plain(name): name for name in names}
    if all(_plain(folder) in own for folder in folders) and (more_names or len(names) == len(folders)):
        return [own[_plain(folder)] for folder in folders]
    if all(folder.isdecimal() for folder in folders):
        largest = max(int(folder) for folder in folders)
        if largest >= len(names):
            raise InputError(f"{len(names)} class names, but there is a class folder {largest}; numbers begin with 0")
        return [names[int(folder)] for folder in folders]
    shared = [folder for folder in folders if folder in names]
    if shared and len(shared) < len(folders):
        raise InputError(
            f"the class names fit some class folders ({_some(shared)}) and not others; give all of them, or a file of "
            "lines FOLDER<TAB>NAME"
        )
    if len(names) != len(folders):
        raise InputError(
            f"{len(names)} class names for {len(folders)} class folders ({_some(folders)}); give a file of lines "
            "FOLDER<TAB>NAME"
        )
    pairs = ", ".join(f"{folder}: {name}" for folder, name in list(zip(folders, names, strict=True))[:3])
    warnings.warn(
        f"class names are given to the class folders by position ({pairs}, ...), since no folder has such a name; a "
        "file of lines FOLDER<TAB>NAME makes sure",
        stacklevel=3,
    )
    return list(names)


def with_wordnet_ids(lines: Sequence[str]) -> dict[str, str] | None:
    """Returns a mapping if every line is a WordNet id and a name, such as "n01443537 goldfish"; otherwise None."""
    pairs = [re.fullmatch(r"(n\d{8})\s+(\S.*)", line) for line in lines]
    return {pair[1]: pair[2] for pair in pairs if pair} if pairs and all(pairs) else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
