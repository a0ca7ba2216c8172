"""Several processes through torchrun and Lightning, on the CPU with gloo."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

CONFIG = """\
model:
  method: {class_path: CLIP, init_args: {image_encoder: TinyConv, text_encoder: TinyText, dim: 8}}
  log_every: 1
data: {train: {class_path: ToyPairs, init_args: {length: 48, size: 16}}, batch_size: 8, workers: 0}
trainer: {max_epochs: 2, accelerator: cpu, logger: false, num_sanity_val_steps: 0, enable_progress_bar: false}
"""


def torchrun(ranks: int, folder: Path, *flags: str) -> list[str]:
    config = folder.parent / "tiny.yaml"
    config.write_text(CONFIG)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m", "mmcontrast"]
    return [
        sys.executable,
        *launch,
        "fit",
        "-c",
        str(config),
        "--out",
        str(folder),
        f"--trainer.devices={ranks}",
        *flags,
    ]


@pytest.mark.slow
@pytest.mark.ranks
def test_two_ranks_train_as_one(tmp_path):
    runs = {}
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        subprocess.run(torchrun(ranks, folder), check=True)
        with (folder / "metrics.csv").open() as file:
            losses = [float(row["train/loss"]) for row in csv.DictReader(file)]
        runs[ranks] = losses, torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    assert len(runs[2][0]) == 12
    assert runs[2][0] == pytest.approx(runs[1][0], rel=1e-4)
    for name, value in runs[1][1].items():
        torch.testing.assert_close(runs[2][1][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.ranks
def test_a_rank_that_dies_ends_the_others(tmp_path):
    folder = tmp_path / "run"
    parent = subprocess.Popen(torchrun(2, folder, "--trainer.max_epochs=100000"), stderr=subprocess.DEVNULL)
    while not (folder / "metrics.csv").exists():
        assert parent.poll() is None
        time.sleep(0.1)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    assert parent.wait(timeout=60) != 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)
