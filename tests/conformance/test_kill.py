"""kill -9 at random steps: the run that is resumed until it ends equals the one that nobody killed."""

import multiprocessing
import random
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.conformance.cases import CASES
from tests.conformance.run_case import run
from tests.conformance.test_resume import assert_equal_runs

KILLS = 2
SETTINGS = {f"{workers} workers, accumulate {n}": (workers, n) for workers in (0, 2) for n in (1, 4)}
ALWAYS = {("CLIP", "2 workers, accumulate 4"), ("MoCo", "0 workers, accumulate 1")}
MATRIX = [
    pytest.param(name, *numbers, id=f"{name}, {setting}", marks=[] if (name, setting) in ALWAYS else pytest.mark.slow)
    for name in CASES
    for setting, numbers in SETTINGS.items()
]

# A server that has imported everything forks each run, so that none waits for imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.conformance.run_case"])


def rows(folder: Path) -> int:
    path = folder / "metrics.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def start(*arguments: Any) -> Any:
    child = CONTEXT.Process(target=run, args=arguments)
    child.start()
    return child


@cache
def unbroken(name: str, accumulate: int) -> Path:
    """The run that nobody kills, without workers."""
    folder = Path(mkdtemp(prefix="unbroken-"))
    child = start(name, folder, 0, accumulate, False)
    child.join()
    assert child.exitcode == 0
    return folder


@pytest.mark.parametrize(("name", "workers", "accumulate"), MATRIX)
def test_killed_and_resumed_equals_unbroken(name: str, workers: int, accumulate: int, tmp_path: Path):
    steps = 4 * 12 // accumulate
    draw = random.Random(f"{name} {workers} {accumulate}")
    kills = 0
    for part in range(KILLS):
        child = start(name, tmp_path, workers, accumulate, True)
        enough = draw.randrange(steps * part // KILLS + 1, steps * (part + 1) // KILLS)
        while rows(tmp_path) < enough and child.is_alive():
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        child.kill()
        child.join()
        kills += child.exitcode == -9
    assert kills
    child = start(name, tmp_path, workers, accumulate, True)
    child.join()
    assert child.exitcode == 0
    assert rows(unbroken(name, accumulate)) == steps
    assert_equal_runs(tmp_path, unbroken(name, accumulate))
