import os
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mmcontrast.train.checkpoint import AtomicCheckpointIO, write_atomically
from mmcontrast.train.errors import TrainingError
from tests.train.tiny import train


@contextmanager
def full_disk(limit: int):
    """No file may grow beyond the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_previous_checkpoint_and_says_how_much_is_free(tmp_path):
    path = tmp_path / "last.ckpt"
    write_atomically({"x": torch.ones(3)}, path)
    with (
        full_disk(2**16),
        pytest.raises(TrainingError, match=r"could not save .*MiB free.*What was there before is intact"),
    ):
        write_atomically({"x": torch.ones(2**18)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["x"], torch.ones(3))
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_full_disk_ends_training_with_that_error(tmp_path):
    train(tmp_path, max_epochs=1, max_steps=4)
    before = (tmp_path / "last.ckpt").read_bytes()
    with full_disk(2**12), pytest.raises(TrainingError, match="could not save"):
        train(tmp_path, max_epochs=2, resume=True)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_killed_while_saving(tmp_path):
    path = tmp_path / "last.ckpt"
    write_atomically({"x": torch.full((2**20,), 0.0)}, path)
    for delay in (0.003, 0.011, 0.023, 0.047):
        if (child := os.fork()) == 0:
            for value in range(10**6):
                write_atomically({"x": torch.full((2**20,), float(value))}, path)
            os._exit(0)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        x = torch.load(path, weights_only=True)["x"]
        assert (x == x[0]).all()


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_a_pickle_is_refused_and_nothing_runs(tmp_path):
    marker = tmp_path / "ran"
    torch.save({"state_dict": {}, "x": Payload(marker)}, tmp_path / "last.ckpt")
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        train(tmp_path, resume=True)
    assert not marker.exists()


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    (tmp_path / ".last.ckpt.123.part").write_bytes(b"half")
    train(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "last.ckpt", "loss.png", "metrics.csv"]
