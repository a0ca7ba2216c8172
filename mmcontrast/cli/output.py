"""Where a command writes to, and where it does not."""

import tempfile
from pathlib import Path

from mmcontrast.errors import InputError


def output_folder(out: str) -> Path:
    """Makes ``--out``.

    Raises:
        InputError: it cannot be made, or nothing can be written in it.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from error
    return folder


def refuse_to_overwrite(given: str, out: str | Path, *targets: Path) -> None:
    """Sees to it that what was given is not what is written below ``--out``.

    Raises:
        InputError: it is.
    """
    if Path(given).resolve() in {target.resolve() for target in targets}:
        raise InputError(f"--out {out}: would be written over {given}; choose another folder")
