"""A run that cannot go on is refused in one sentence, and stays as it was."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmcontrast.errors import InputError
from mmcontrast.train.errors import TrainingError, replacing
from tests.train.tiny import Regress, train

CHILD = """
import sys, time
from pathlib import Path
import lightning.pytorch as L
from tests.train.tiny import train
class Slow(L.Callback):
    def on_train_batch_end(self, *args):
        print("step", flush=True)
        time.sleep(0.05)
train(Path(sys.argv[1]), max_epochs=500, workers=int(sys.argv[2]), callbacks=[Slow()])
"""


def state(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    train(tmp_path / "run", max_epochs=2)
    return tmp_path / "run"


class Wider(Regress):
    def __init__(self) -> None:
        super().__init__()
        self.line[0] = torch.nn.Linear(4, 4, bias=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": Wider()}, "was trained with another network than this"),
        ({"optimizer": "sgd"}, "was trained with the optimizer adamw and cannot go on with sgd"),
        ({"max_epochs": 1}, "is in epoch 2 and cannot go on to epoch 1"),
        ({"max_epochs": -1, "max_steps": 3}, "has done 8 steps and cannot go on to step 3"),
        ({"lr_scale": {"line.0": 0.1}}, "these settings train"),
    ],
)
def test_what_cannot_go_on_is_refused_and_nothing_is_changed(options: dict, message: str, run: Path):
    (run / "config.yaml").write_text("model: {optimizer: adamw}\n")
    before = state(run)
    with pytest.raises(InputError, match=message):
        train(run, resume=True, **{"max_epochs": 3} | options)
    assert state(run) == before


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None, "dict"])
def test_a_damaged_checkpoint_is_one_sentence(content, run: Path):
    path = run / "last.ckpt"
    if content == "dict":
        torch.save({"weights": torch.zeros(2)}, path)
    else:
        path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(InputError, match=r"last\.ckpt is (damaged|no checkpoint)") as error:
        train(run, resume=True, max_epochs=3)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("content", ["step,train/loss\nx,1\n", "step\n1,2,3\n", "\x00\n\x00", "a,b\n1,2\n"])
def test_damaged_metrics_are_one_sentence(content: str, run: Path):
    (run / "metrics.csv").write_text(content)
    before = state(run)
    with pytest.raises(InputError, match=r"metrics\.csv is damaged"):
        train(run, resume=True, max_epochs=3)
    assert state(run) == before


def hold(folder: str, ready) -> None:
    with open(f"{folder}/.lock", "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.write("process 4711 on elsewhere")
        file.flush()
        ready.set()
        time.sleep(60)


def test_a_directory_in_use_names_the_other_process(run: Path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=hold, args=(str(run), ready))
    other.start()
    assert ready.wait(30)
    try:
        with pytest.raises(InputError, match="is in use by process 4711 on elsewhere"):
            train(run, resume=True, max_epochs=3)
    finally:
        other.kill()
        other.join()
    train(run, resume=True, max_epochs=3)  # the lock of a dead process is none


def test_leftovers_of_killed_saves_are_removed(run: Path):
    (run / ".last.ckpt.4711.part").write_bytes(b"half")
    train(run, resume=True, max_epochs=3)
    assert {path.name for path in run.iterdir()} == {"last.ckpt", "loss.png", "metrics.csv"} | {"config.yaml"}


@pytest.mark.parametrize("workers", [0, 2])
def test_sigterm_to_the_group_saves_and_exits_143(workers: int, tmp_path: Path):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "run"), str(workers)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    for _ in range(6):
        child.stdout.readline()
    os.killpg(child.pid, signal.SIGTERM)
    _, error = child.communicate(timeout=120)
    assert child.returncode == 143, error
    assert "stopped by SIGTERM after step" in error
    assert "mmcontrast fit --resume --out" in error
    step = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert f"after step {step}," in error
    assert step >= 6


def test_ctrl_c_exits_130_and_names_the_way_to_resume(tmp_path: Path):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "run"), "0"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    for _ in range(6):
        child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=120)
    assert child.returncode in (130, -signal.SIGINT), error
    assert "interrupted at step" in error
    assert "go on with: mmcontrast fit --resume --out" in error


def test_a_name_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "last.ckpt", tmp_path / ("x" * 300)):
        part = path.with_name("part" + path.name)
        with (
            pytest.raises(
                TrainingError,
                match=r"could not save .*(Not a directory|File exists|too long).*choose another|Make room",
            ),
            replacing(path, part),
        ):
            part.write_text("")
    with pytest.raises(InputError, match=r"--out .*file.* cannot be written"):
        train(tmp_path / "file" / "run")
