import csv

import pytest

from mmcontrast.errors import InputError
from mmcontrast.evals.knn import knn
from mmcontrast.evals.labeled_features import FeatureSettings
from mmcontrast.train.monitors import KNNMonitor
from tests.evals.labeled_images import write_colors
from tests.train.tiny import Regress, train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    return str(write_colors(folder / "train", 8, 50, 0)), str(write_colors(folder / "test", 6, 50, 1))


def test_the_figure_of_the_encoder_is_logged_after_every_second_and_the_last_epoch(data, tmp_path):
    monitor = KNNMonitor(*data, k=5, every=2)
    method = train(tmp_path / "run", max_epochs=3, logger=True, callbacks=[monitor])
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = {int(row["step"]): row["val/knn/top1"] for row in csv.DictReader(file)}
    assert [step for step, value in rows.items() if value] == [8, 12]
    expected = knn(method.encoder, *data, [5], settings=FeatureSettings()).metrics["per_k"]["5"]["top1"]
    assert float(rows[12]) == pytest.approx(expected)


def test_more_neighbors_than_images_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="k 20 is more than the 10 training images"):
        KNNMonitor(*data, limit=10).figures(Regress())
