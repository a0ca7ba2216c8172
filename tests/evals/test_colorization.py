import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmcontrast.cli.main import main
from mmcontrast.encoders.tiny import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.evals.colorization import ColorDistances, colorization
from mmcontrast.methods.colorization import Colorization
from mmcontrast.ops.color import rgb_to_lab


class Knows(Colorization):
    """Gives the colors that the image has, ``off`` units of a beside."""

    off = 0.0

    def colors(self, image: Tensor, temperature: float | None = None) -> Tensor:
        lab = rgb_to_lab(image)[:, 1:]
        return lab + lab.new_tensor([self.off, 0])[:, None, None]


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(draw.integers(0, 256, (24, 24, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_right_colors_reach_the_whole_area_and_gray_what_its_distances_say(photos):
    result = colorization(Knows(TinyConv()), photos)
    figures = result.metrics
    assert (figures["auc"], figures["auc_balanced"], figures["mean_distance"]) == (1, 1, 0)
    assert result.counts["num_images"] == 3
    assert figures["mean_chroma"] == pytest.approx(figures["true_mean_chroma"])
    assert 0 < figures["gray"]["auc"] < 1
    assert figures["gray"]["mean_chroma"] == 0


def test_colors_seven_and_a_half_beside_are_within_eight_of_151_distances(photos):
    method = Knows(TinyConv())
    method.off = 7.5
    figures = colorization(method, photos).metrics
    assert figures["auc"] == pytest.approx((151 - 8) / 151)
    assert figures["auc_balanced"] == pytest.approx((151 - 8) / 151)
    assert figures["mean_distance"] == pytest.approx(7.5, abs=1e-4)


def test_each_bin_counts_alike_in_the_balanced_figure():
    tally = ColorDistances(5, torch.device("cpu"))
    found = torch.zeros(1, 2, 1, 4)
    truth = found.clone()
    truth[0, 0, 0, 3] = 1000.0  # the one cell of bin 2 is missed by far
    tally.add(found, truth, torch.tensor([[[0, 0, 0, 2]]]))
    assert tally.figures()["auc"] == pytest.approx(3 / 4)
    assert tally.figures()["auc_balanced"] == pytest.approx(1 / 2)


def test_the_command_prints_them_and_refuses_other_models(photos, capsys):
    (photos / "bad.png").write_bytes(b"nothing")
    assert main(["eval", "colorize", "--data", str(photos), "--out", str(photos / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((photos / "out" / "metrics.json").read_text())
    assert printed["counts"]["num_images"] == 3
    assert printed["counts"]["num_unreadable"] == 1
    assert main(["eval", "colorize", "--data", str(photos), "--model", "don-lite"]) == 2
    assert "Colorization or SplitBrain" in capsys.readouterr().err


def test_nothing_to_read_is_an_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of the 1 images"):
        colorization(Knows(TinyConv()), tmp_path)
