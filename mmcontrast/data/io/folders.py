"""The files of a folder, at any depth and in one order for all readers."""

import os
import re
import stat
import warnings
from collections.abc import Iterator

from mmcontrast.errors import InputError


def files_in(root: str | os.PathLike[str]) -> Iterator[str]:
    """Yields the files below a folder: a folder's own files in natural order, then those of its subfolders.

    Hidden files and subfolders are passed over. Links are followed, as data sets are often laid out by links; a link to
    a folder that contains it leads nowhere new and is passed over. A subfolder or link that cannot be read is passed
    over with a warning, and the rest is read.

    Args:
        root: The folder.

    Yields:
        Paths relative to the folder, with "/".
    """
    return _files(os.fspath(root), "", frozenset())


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Returns a key that sorts names by the numbers in them: ``frame_2.png`` before ``frame_10.png``.

    Args:
        name: A file's name, or its path with "/".

    Returns:
        The pieces of the name, in which numbers come before text and compare by value, and the name itself.

    >>> sorted(["10.png", "2.png", "1.png"], key=natural_order)
    ['1.png', '2.png', '10.png']
    """
    return [(0, int(s), "") if s.isdecimal() else (1, 0, s) for s in re.split(r"(\d+)", name) if s], name


def is_hidden(name: str) -> bool:
    """Returns whether a file or a folder above it is hidden, as ``._a.png`` and ``__MACOSX/a.png`` are."""
    parts = name.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)


def refuse_special_file(path: str | os.PathLike[str]) -> None:
    """Refuses named pipes, devices and sockets, which could block or never end, before they are opened.

    Args:
        path: A file that may be missing; a missing one is not refused here.

    Raises:
        InputError: The path is neither a regular file nor a folder.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{os.fspath(path)}: is a named pipe, a device or a socket; wanted a regular file")


def braces(pattern: str) -> list[str]:
    """Expands shell braces: ``a{00..02}.tar`` to three names, ``{x,y}/z`` to two; several pairs multiply.

    Args:
        pattern: The text with braces.

    Returns:
        All texts that it stands for; the pattern itself where it has no braces.

    Raises:
        InputError: The numbers count down.

    >>> braces("{x,y}/{0..1}.tar")
    ['x/0.tar', 'x/1.tar', 'y/0.tar', 'y/1.tar']
    """
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if not match:
        return [pattern]
    first, last, names = match.groups()
    if names is None:
        if int(last) < int(first):
            raise InputError(f"{pattern}: counts down from {first} to {last}; write the smaller number first")
        parts = [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
    else:
        parts = names.split(",")
    return [text for part in parts for text in braces(pattern[: match.start()] + part + pattern[match.end() :])]


def _files(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(folder)
        with os.scandir(folder) as entries:
            names = {entry.name: _is_folder(entry) for entry in entries if not entry.name.startswith(".")}
    except OSError as error:
        if prefix or not isinstance(error, FileNotFoundError):
            _warn_unread(folder, error)
        return
    here = status.st_dev, status.st_ino
    if here in above:
        return
    ordered = sorted(names, key=natural_order)
    yield from (prefix + name for name in ordered if names[name] is False)
    for name in ordered:
        if names[name]:
            yield from _files(os.path.join(folder, name), f"{prefix}{name}/", above | {here})


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """Returns whether an entry is a folder; None where it cannot be told, as for a link to itself."""
    try:
        return entry.is_dir()
    except OSError as error:
        _warn_unread(entry.path, error)
        return None


def _warn_unread(path: str, error: OSError) -> None:
    reason = error.strerror or type(error).__name__
    warnings.warn(f"{path!r}: is passed over because it cannot be read ({reason})", stacklevel=4)
