"""The files of a folder, at any depth."""

import os
import re
from collections.abc import Iterator


def files_in(root: str | os.PathLike[str]) -> Iterator[str]:
    """Paths relative to the folder, with "/", in a fixed order: a folder's own files by name, then its subfolders.

    Hidden files and subfolders are passed over, and so is what may not be read.  Links are followed, as data sets are
    often laid out by links; a link to a folder that it lies in leads nowhere new and is passed over too.
    """
    return _files(os.fspath(root), "", frozenset())


def _files(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(folder)
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError:
        return
    here = status.st_dev, status.st_ino
    if here in above:
        return
    yield from (prefix + name for name, is_folder in found if not is_folder)
    for name, is_folder in found:
        if is_folder:
            yield from _files(os.path.join(folder, name), f"{prefix}{name}/", above | {here})


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Returns a key that sorts names by the numbers in them: ``frame_2.png`` before ``frame_10.png``.

    Args:
        name: A file's name, or its path with "/".

    Returns:
        The pieces of the name; numbers come before text and compare by value.

    >>> sorted(["10.png", "2.png", "1.png"], key=natural_order)
    ['1.png', '2.png', '10.png']
    """
    return [(0, int(s), "") if s.isdecimal() else (1, 0, s) for s in re.split(r"(\d+)", name) if s]
