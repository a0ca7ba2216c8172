"""Trains a case in a process of its own."""

from pathlib import Path

import torch

from mmcontrast.train.data import Data
from mmcontrast.train.fitting import fit
from tests.conformance.cases import CASES


def run(name: str, folder: Path, workers: int, accumulate: int, resume: bool, epochs: int = 4) -> None:
    """36 samples in batches of 3; a checkpoint after every step."""
    torch.set_num_threads(1)
    case = CASES[name]
    data = Data(case.data(), augment=case.augment(), batch_size=3, workers=workers, seed=3)
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    fit(
        case.build(),
        data,
        out=folder,
        resume=resume,
        save_every=1,
        seed=3,
        lr=case.lr,
        log_every=1,
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        **quiet,
    )
