"""Embeddings kept on disk, found again by the content they were made from."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def cache_directory() -> Path:
    """``$MMCONTRAST_CACHE``, else ``$XDG_CACHE_HOME/mmcontrast``, else ``~/.cache/mmcontrast``."""
    if own := os.environ.get("MMCONTRAST_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcontrast"


def fingerprint(module: nn.Module, leave_out: nn.Module | None = None) -> str:
    """A hash of the class names, weights and buffers of ``module``, less those that ``leave_out`` shares with it."""
    ignored_modules = set(leave_out.modules()) if leave_out is not None else set()
    ignored = {id(t) for m in ignored_modules for t in [*m.parameters(recurse=False), *m.buffers(recurse=False)]}
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        if part not in ignored_modules:
            digest.update(f"{name} {type(part).__qualname__}\n".encode())
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if id(tensor) in ignored:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def content_key(parts: Iterable[str]) -> str:
    """A hash of a sequence of strings that no other sequence shares."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def load_array(file: Path) -> Tensor | None:
    """The tensor saved as ``file``; None where there is none or it cannot be read (it is then made anew)."""
    try:
        array = np.load(file, allow_pickle=False)
        with contextlib.suppress(OSError):
            os.utime(file)  # what is used stays; _prune takes the oldest
        return torch.from_numpy(array)
    except (OSError, ValueError, EOFError):
        return None


def save_array(file: Path, tensor: Tensor, keep_bytes: int | None = None) -> None:
    """Writes ``file`` (.npy) in one step: readers see all of it or nothing.  A full or read-only disk is no error.

    Args:
        keep_bytes: the most that the .npy files of its folder may take; those longest unused go.  None: no limit.
    """
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, tensor.detach().cpu().numpy(), allow_pickle=False)
        os.replace(part, file)
        if keep_bytes is not None:
            _prune(file.parent, keep_bytes)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()


def _prune(folder: Path, keep_bytes: int) -> None:
    """Deletes the longest unused .npy files of a folder until the rest fits into ``keep_bytes``; the newest stays."""
    total = 0
    for place, (_, size, file) in enumerate(sorted(_files(folder), reverse=True)):
        total += size
        if place and total > keep_bytes:
            file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """(time of last use, bytes, path)"""
    for file in folder.glob("*.npy"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            status = file.stat()
            yield status.st_mtime_ns, status.st_size, file
