"""Two thousand steps with two workers take no more memory at their end than after two hundred."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
STEPS, SETTLED, GROWTH = 2000, 200, 50  # GROWTH in MB


def processes(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes(int(child))


def megabytes(pid: int) -> float:
    """Of a process and all below it, pages that they share counted once; not of files, which others may have open."""
    lines = [line for one in processes(pid) for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024


def last_step(folder: Path) -> int:
    lines = (folder / "metrics.csv").read_text().splitlines() if (folder / "metrics.csv").exists() else []
    return int(lines[-1].split(",")[0]) if len(lines) > 1 and lines[-1][:1].isdigit() else 0


@pytest.mark.slow
@pytest.mark.parametrize("config", ["clip", "dense", "video", "moco"])
def test_memory_is_flat(config: str, tmp_path: Path):
    flags = ["--data.workers=2", "--trainer.max_epochs=-1", f"--trainer.max_steps={STEPS}", "--trainer.logger=false"]
    quiet = [
        "--data.batch_size=8",
        "--trainer.enable_progress_bar=false",
        "--trainer.accelerator=cpu",
        "--model.log_every=10",
    ]
    command = ["-m", "mmcontrast", "fit", "-c", f"configs/smoke/{config}.yaml", "--out", str(tmp_path / "run")]
    child = subprocess.Popen([sys.executable, *command, *flags, *quiet], cwd=ROOT)
    samples: list[tuple[int, float]] = []
    while child.poll() is None:
        time.sleep(1)
        try:
            samples.append((last_step(tmp_path / "run"), megabytes(child.pid)))
        except (FileNotFoundError, ProcessLookupError):  # it is ending
            break
    assert child.wait() == 0
    assert last_step(tmp_path / "run") == STEPS
    early = [size for step, size in samples if SETTLED <= step < 2 * SETTLED]
    late = [size for step, size in samples if STEPS - SETTLED <= step < STEPS]
    print(f"{config}: {median(early):.0f} MB after {SETTLED} steps, {median(late):.0f} MB at the end")
    assert median(late) - median(early) < GROWTH
