"""kill -9 at random steps: the run that is resumed until it ends equals the one that nobody killed."""

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conformance.cases import CASES
from tests.conformance.run_case import run
from tests.conformance.test_resume import assert_equal_runs

KILLS = 2
SETTINGS = itertools.cycle([(0, 1), (2, 4), (2, 1), (0, 4)])  # workers, accumulation


def rows(folder: Path) -> int:
    path = folder / "metrics.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "setting"), list(zip(CASES, SETTINGS, strict=False)))
def test_killed_and_resumed_equals_unbroken(name: str, setting: tuple[int, int], tmp_path):
    workers, accumulate = setting
    steps = 4 * 12 // accumulate
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    command = [
        sys.executable,
        "-m",
        "tests.conformance.run_case",
        name,
        str(broken),
        str(workers),
        str(accumulate),
        "RESUME",
    ]
    draw = random.Random(name)
    for kill in range(KILLS):
        child = subprocess.Popen(command)
        enough = draw.randrange(steps * kill // KILLS + 1, steps * (kill + 1) // KILLS)
        while rows(broken) < enough and child.poll() is None:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run(command, check=True)
    run(name, unbroken, workers, accumulate, resume=False)
    assert rows(unbroken) == steps
    assert_equal_runs(broken, unbroken)
