"""The folder ``--out``: one policy for all commands.

A command writes into a folder only under names that it has claimed. The claimed names are listed in a hidden file of
the folder, so that a later run knows which results are there: it refuses the folder, or with ``--overwrite`` removes
exactly those results before it writes the first of its own. Other files of the folder stay.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from mmcontrast.errors import InputError

LISTING = ".mmcontrast-results"

# The folders that the running command writes to.
_opened: ContextVar[tuple["OutputFolder", ...]] = ContextVar("opened", default=())


class OutputFolder:
    """A folder for results; ``folder / NAME`` claims a name in it and returns its path.

    Args:
        path: The folder, which is made.
        overwrite: Whether the results of an earlier run are removed, once the first name is claimed.
        inputs: Files that the command reads; they are not written over.

    Raises:
        InputError: The folder cannot be written, or holds results and ``overwrite`` is False.
    """

    def __init__(self, path: str | Path, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._inputs = [Path(file).resolve() for file in inputs]
        self._names: list[str] = []
        make_writable(self.path, path)
        self._earlier = self._earlier_results()
        for target in self._earlier:
            self._check_inputs(target)
        if self._earlier and not overwrite:
            raise InputError(f"--out {path}: holds the results of an earlier run; add --overwrite to replace them")
        _opened.set((*_opened.get(), self))

    def __truediv__(self, name: str) -> Path:
        """Returns the path of a result, a file or a folder directly in this one.

        Raises:
            InputError: Something else has this name: an input, a folder, or, without ``overwrite``, a file.
        """
        target = self.path / name
        if name not in self._names:
            self._remove_earlier_results()
            self._check(target)
            target.unlink(missing_ok=True)
            self._names.append(name)
            with (self.path / LISTING).open("a", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(name + "\n")
        return target

    def free(self, name: str) -> Path:
        """Returns a path like ``folder / name``, with underscores before the suffix where the name is in use."""
        target = self.path / name
        while target.name in self._names or target.exists():
            target = target.with_stem(target.stem + "_")
        return self / target.name

    def discard(self) -> None:
        """Removes what this run has written."""
        self._earlier = [self.path / name for name in self._names]
        self._names = []
        self._remove_earlier_results()

    def __str__(self) -> str:
        return str(self.path)

    def _earlier_results(self) -> list[Path]:
        """Returns the results of earlier runs that are still there."""
        listing = self.path / LISTING
        text = listing.read_text(encoding="utf-8", errors="surrogateescape") if listing.is_file() else ""
        names = {name for name in text.splitlines() if Path(name).name == name}
        return [self.path / name for name in sorted(names) if (self.path / name).exists()]

    def _remove_earlier_results(self) -> None:
        for target in self._earlier:
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        if not self._names:
            (self.path / LISTING).unlink(missing_ok=True)
        self._earlier = []

    def _check(self, target: Path) -> None:
        self._check_inputs(target)
        if target.is_dir():
            raise InputError(f"--out {self.path}: {target.name} is a folder of another origin; choose another folder")
        if target.exists() and not self._overwrite:
            raise InputError(f"--out {self.path}: holds {target.name} already; add --overwrite to replace it")

    def _check_inputs(self, target: Path) -> None:
        for file in self._inputs:
            if target.resolve() in (file, *file.parents):
                raise InputError(f"--out {self.path}: would be written over {file}; choose another folder")


def output_folder(
    out: str | Path | None, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> OutputFolder | None:
    """Returns the folder ``--out``, or None without one; see ``OutputFolder``."""
    return None if out is None else OutputFolder(out, overwrite, inputs)


@contextmanager
def discard_after_mistakes() -> Iterator[None]:
    """Removes what a command has written if it ends because an input cannot be used."""
    token = _opened.set(())
    try:
        yield
    except InputError:
        for folder in _opened.get():
            folder.discard()
        raise
    finally:
        _opened.reset(token)


def make_writable(folder: Path, out: str | Path) -> None:
    """Makes a folder and checks that files can be written in it.

    Raises:
        InputError: They cannot; the message names ``out``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from error
