"""The folder that a command writes to."""

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
