import csv

import pytest
import torch

from mmcontrast.data import MultiCrop, ToyImages, TwoViews
from mmcontrast.encoders import TinyConv
from mmcontrast.methods import DINO, SimCLR
from mmcontrast.train.collapse import CollapseWatch, look, verdict
from mmcontrast.train.data import Data
from mmcontrast.train.fitting import fit


def run(method, augment, tmp_path, **options):
    data = Data(ToyImages(32, 16), augment=augment, batch_size=8, workers=0)
    watch = CollapseWatch(every=2)
    fit(method, data, out=tmp_path, max_epochs=2, accelerator="cpu", callbacks=[watch], logger=False, **options)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_figures_stand_beside_the_loss(tmp_path, capsys):
    torch.manual_seed(0)
    rows = run(SimCLR(TinyConv(dim=8), dim=4), TwoViews(), tmp_path, log_every=2)
    assert [int(row["step"]) for row in rows] == [2, 4, 6, 8]
    for row in rows:
        assert 0 < float(row["collapse/feature_std"]) <= 1
        assert 1 <= float(row["collapse/effective_rank"]) <= 7
        for name in ("positive_similarity", "negative_similarity"):
            assert -1 <= float(row[f"collapse/{name}"]) <= 1
        assert float(row["train/loss"]) > 0
    assert "collapsed" not in capsys.readouterr().err


def test_a_collapsed_run_says_so(tmp_path, capsys):
    method = DINO(TinyConv(dim=8), prototypes=8, hidden=8, bottleneck=4)
    with torch.no_grad():
        for p in [*method.student.parameters(), *method.teacher.parameters()]:
            p.zero_()
    run(method, MultiCrop(16, 8, 1), tmp_path, lr=0.0)
    found = capsys.readouterr()
    assert "the features have collapsed" in found.err + found.out


@pytest.mark.parametrize(
    ("figures", "progress", "words"),
    [
        ({"feature_std": 0.5, "effective_rank": 8.0, "teacher_entropy": 0.9, "mutual_information": 1.0}, 0.5, None),
        ({"feature_std": 0.001, "effective_rank": 8.0}, 0.5, "features have collapsed"),
        ({"feature_std": 0.5, "effective_rank": 1.1}, 0.5, "effective rank 1.10"),
        ({"teacher_entropy": 0.9999}, 0.5, "all prototypes alike"),
        ({"teacher_entropy": 0.0}, 0.5, "one prototype"),
        ({"mutual_information": 0.001}, 0.05, None),
        ({"mutual_information": 0.001}, 0.5, "guessing"),
    ],
)
def test_verdicts(figures, progress, words):
    found = verdict(figures, progress)
    assert (found is None) if words is None else words in found


def test_looking_changes_nothing():
    method = SimCLR(TinyConv(dim=8), dim=4)
    before = {k: v.clone() for k, v in method.state_dict().items()}
    found = look(method, {"image": torch.rand(4, 3, 16, 16)}, among=3)
    assert found.keys() == {"feature_std", "effective_rank"}
    assert method.training
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
    assert look(method, {"clip": torch.rand(4, 3)}, among=3) == {}
    assert look(method, {"image": torch.rand(1, 3, 16, 16)}, among=3) == {}
