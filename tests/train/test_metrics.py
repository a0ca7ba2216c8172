from types import SimpleNamespace

import pytest
from PIL import Image

from mmcontrast.train.metrics import Curves, MetricsCSV, smoothed


def test_a_thousand_epochs_draw_tens_of_images_and_the_last_row_is_in_one(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("mmcontrast.train.metrics.draw_losses", lambda rows, path: drawn.append(len(rows)))
    metrics, trainer = MetricsCSV(tmp_path), SimpleNamespace(is_global_zero=True)
    curves = Curves(metrics)
    for step in range(1, 1001):
        metrics.log_metrics({"train/loss": 1 / step}, step)
        curves.on_train_epoch_end(trainer, None)
        assert drawn[-1] * 1.05 >= step - 1
    curves.on_train_end(trainer, None)
    assert drawn[-1] == 1000
    assert len(drawn) < 100


def test_the_image_is_of_both_losses(tmp_path):
    metrics = MetricsCSV(tmp_path)
    curves, trainer = Curves(metrics), SimpleNamespace(is_global_zero=True)
    curves.on_train_end(trainer, None)
    assert not (tmp_path / "loss.png").exists()
    for step in range(4):
        metrics.log_metrics({"train/loss": 4.0 - step, "val/loss": 5.0 - step}, step)
    curves.on_train_epoch_end(trainer, None)
    with Image.open(tmp_path / "loss.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(1 << 20)}
    assert {(31, 119, 180), (255, 127, 14)} <= colors


def test_smoothing_is_a_mean_that_starts_at_the_values():
    assert smoothed([2.0, 2.0, 2.0], 10) == pytest.approx([2, 2, 2])
    assert smoothed([0.0, 1.0], 1) == [0.0, 1.0]
