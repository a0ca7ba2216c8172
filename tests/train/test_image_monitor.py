"""What a method makes of images: after epochs of a run, and of files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.methods import SimCLR
from mmcontrast.train.monitors import ImageMonitor
from mmcontrast.viz.method_outputs import draw_images
from tests.evals.labeled_images import image_size, write_colors
from tests.train.tiny import train

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rotation") / "run"
    config = str(ROOT / "configs/smoke/rotation.yaml")
    short = ["--data.train.init_args.length=64", "--trainer.max_epochs=3", "--trainer.enable_progress_bar=false"]
    every = ["--trainer.callbacks.every=2", "--trainer.callbacks.count=5"]
    assert main(["fit", "-c", config, "--out", str(folder), *short, *every]) == 0
    return folder


def test_sheets_after_every_second_and_the_last_epoch(run: Path):
    sheets = sorted((run / "images").iterdir())
    assert [sheet.name for sheet in sheets] == ["epoch_0002.png", "epoch_0003.png"]
    with Image.open(sheets[0]) as sheet:
        width, height = sheet.size
    assert width > 2 * height  # five images side by side, two stages


def test_by_predict_features(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = write_colors(tmp_path / "colors", 4, 20, 0)
    show = ["predict", "features", str(files), "--model", str(run), "--out", str(tmp_path / "out")]
    assert main([*show, "--show", "rotation,activations"]) == 0
    assert image_size(tmp_path / "out/rotation.png") > 200
    assert np.load(tmp_path / "out/activations.npz")["0000_000"].shape == (2, 16, 16)
    assert main([*show, "--show", "jigsaw", "--overwrite"]) == 2
    assert "is a Rotation; give a model trained by Jigsaw" in capsys.readouterr().err


def test_a_method_without_images_says_so(tmp_path: Path):
    with pytest.raises(InputError, match="ImageMonitor: Regress draws no images"):
        train(tmp_path, callbacks=[ImageMonitor()])
    with pytest.raises(InputError, match="SimCLR draws no images"):
        SimCLR(TinyConv()).images(None, None)


def test_a_sheet_has_a_column_for_each_image_and_a_row_for_each_stage(tmp_path: Path):
    stages = {"red": torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 3, 9, 9), "large": torch.zeros(3, 3, 20, 20)}
    draw_images(stages, tmp_path / "sheet.png", columns=2)
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    red = (sheet[..., 0] > 250) & (sheet[..., 1] < 5)
    black = sheet.sum(2) == 0
    for part in (red, black):
        for axis, name in ((1, "rows: three images need two groups"), (0, "columns")):
            line = part.any(axis).astype(int)
            assert (np.diff(line, prepend=0) == 1).sum() == 2, name
