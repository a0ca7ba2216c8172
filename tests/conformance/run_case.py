"""Trains a case in a process of its own: python -m tests.conformance.run_case NAME FOLDER WORKERS ACCUMULATE RESUME?"""

import sys
from pathlib import Path

from mmcontrast.train.data import Data
from mmcontrast.train.fit import fit
from tests.conformance.cases import CASES


def run(name: str, folder: Path, workers: int, accumulate: int, resume: bool, epochs: int = 4) -> None:
    """36 samples in batches of 3; a checkpoint after every step."""
    case = CASES[name]
    data = Data(case.data(), augment=case.augment(), batch_size=3, workers=workers, seed=3)
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    fit(
        case.build(),
        data,
        run_dir=folder,
        resume=resume,
        save_every=1,
        seed=3,
        lr=case.lr,
        log_every=1,
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        **quiet,
    )


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), "RESUME" in sys.argv)
