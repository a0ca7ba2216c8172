"""A run that is cut off after any step and resumed ends bit-equal to the unbroken one: weights, optimizer, metrics."""

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from mmcontrast.train.data import Data
from mmcontrast.train.fitting import fit
from tests.conformance.cases import CASES, Case

EPOCHS, BATCH = 2, 6  # 6 batches per epoch


class PowerCut(Exception):
    pass


class CutAfter(L.Callback):
    """Ends the run as a crash would: in mid-epoch, some steps after the last checkpoint."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.steps:
            raise PowerCut


def train(case: Case, folder: Path, accumulate: int = 1, batch_size: int = BATCH, **options: Any) -> None:
    data = Data(case.data(), val=case.data(), augment=case.augment(), batch_size=batch_size, workers=0, seed=3)
    fit(
        case.build(),
        data,
        out=folder,
        seed=3,
        lr=case.lr,
        log_every=1,
        max_epochs=EPOCHS,
        accumulate_grad_batches=accumulate,
        accelerator="cpu",
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        **options,
    )


def assert_equal_runs(first: Path, second: Path) -> None:
    a, b = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (first, second))
    assert a["global_step"] == b["global_step"]
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][name]), name
    (left,), (right,) = a["optimizer_states"], b["optimizer_states"]
    assert left["param_groups"] == right["param_groups"]
    for place, state in left["state"].items():
        for name, value in state.items():
            assert torch.equal(value, right["state"][place][name]), (place, name)
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Name of a case -> its run directory, trained once."""
    folders: dict[Any, Path] = {}

    def find(name: str, accumulate: int = 1) -> Path:
        if (name, accumulate) not in folders:
            folders[name, accumulate] = tmp_path_factory.mktemp("unbroken")
            train(CASES[name], folders[name, accumulate], accumulate)
        return folders[name, accumulate]

    return find


@pytest.mark.parametrize("name", CASES)
def test_resumed_in_mid_epoch_equals_unbroken(name: str, unbroken, tmp_path):
    with pytest.raises(PowerCut):
        train(
            CASES[name], tmp_path, save_every=2, callbacks=[CutAfter(9)]
        )  # last checkpoint: step 8, batch 2 of epoch 1
    train(CASES[name], tmp_path, save_every=2, resume=True)
    assert_equal_runs(unbroken(name), tmp_path)


@pytest.mark.parametrize("cut", [1, 3, 5, 6, 7, 11])
def test_any_step_will_do(cut: int, unbroken, tmp_path):
    name = next(iter(CASES))
    with pytest.raises(PowerCut):
        train(CASES[name], tmp_path, save_every=1, callbacks=[CutAfter(cut)])
    train(CASES[name], tmp_path, save_every=1, resume=True)
    assert_equal_runs(unbroken(name), tmp_path)


@pytest.mark.parametrize("cut", [1, 4])
def test_with_accumulation(cut: int, unbroken, tmp_path):
    name = next(iter(CASES))
    with pytest.raises(PowerCut):
        train(CASES[name], tmp_path, accumulate=2, save_every=1, callbacks=[CutAfter(cut)])
    train(CASES[name], tmp_path, accumulate=2, save_every=1, resume=True)
    assert_equal_runs(unbroken(name, 2), tmp_path)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_with_validation_inside_an_accumulation_window(cut: int, tmp_path):
    """Steps end after batches 3 and 6, validations after 4 and 8 of each epoch's 12 batches, thus inside windows."""
    name = next(iter(CASES))
    options = {"accumulate": 3, "save_every": 1, "batch_size": 3, "val_check_interval": 4}
    train(CASES[name], tmp_path / "unbroken", **options)
    with pytest.raises(PowerCut):
        train(CASES[name], tmp_path / "cut", callbacks=[CutAfter(cut)], **options)
    train(CASES[name], tmp_path / "cut", resume=True, **options)
    assert_equal_runs(tmp_path / "unbroken", tmp_path / "cut")
