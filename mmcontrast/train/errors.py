"""The ways in which a training run ends early: each with one sentence, and the last good checkpoint in place."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TrainingError(RuntimeError):
    """A fault that training cannot go on with; the message says why, where, and what to try."""


class Stopped(SystemExit):
    """A signal such as SIGTERM asked the run to end, and a checkpoint has been saved.

    Args:
        signum: Number of the signal; the exit code is 128 more.
        step: Optimizer step of the checkpoint.
    """

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(128 + signum)
        self.signal, self.step = signal.Signals(signum).name, step


@contextmanager
def replacing(path: Path, part: Path) -> Iterator[None]:
    """Surrounds the writing of ``part`` and its renaming to ``path``; removes ``part`` after a failure.

    Args:
        path: The file to replace.
        part: The file that is written first.

    Raises:
        TrainingError: The file cannot be written; the message names the reason and the free space of the disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        reason = str(getattr(error, "strerror", None) or error).splitlines()[0]
        raise TrainingError(f"could not save {path} ({reason}){_state_of_disk(path, part)}") from error


def _state_of_disk(path: Path, part: Path) -> str:
    """Removes ``part``; returns what to know about the disk, and what to do."""
    try:
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free / 2**20
        intact = " What was there before is intact." if path.exists() else ""
    except OSError:  # the name itself is the trouble: too long, or below a file
        return "; choose another --out."
    return f"; its disk has {free:.0f} MiB free.{intact} Make room, then go on with --resume."
