"""How a training run ends badly: with a sentence, exit status 1 and the last good checkpoint in place."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why, where, and what to try."""


@contextmanager
def replacing(path: Path, part: Path) -> Iterator[None]:
    """Around writing ``part`` and renaming it to ``path``; a failure removes ``part``.

    Raises:
        TrainingError: the disk is full or fails; names the free space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free / 2**20
        kept = " What was there before is intact." if path.exists() else ""
        raise TrainingError(
            f"could not save {path} ({str(error).splitlines()[0]}); its disk has {free:.0f} MiB free.{kept} Make room, "
            f"then go on with --resume."
        ) from error
