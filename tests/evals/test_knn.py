import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from torch.testing import assert_close

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.images import Images
from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.evals.knn import knn, vote
from mmcontrast.evals.labeled_features import FeatureSettings, embed_train_and_test, match_classes
from mmcontrast.ops.nearest import nearest
from tests.color_clip import ColorEncoder
from tests.evals.labeled_images import image_size, write_colors


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    return write_colors(folder / "train", 20, 60, 0), write_colors(folder / "test", 15, 60, 1)


def unit_features(data):
    train, test = embed_train_and_test(ColorEncoder(), *data, FeatureSettings(batch_size=7))
    return F.normalize(train.vectors, dim=1), train.labels, F.normalize(test.vectors, dim=1), test.labels


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.01])
def test_as_scikit_learn_votes(data, temperature):
    bank, labels, queries, target = unit_features(data)
    result = knn(ColorEncoder(), *data, ks=[1, 5, 60], temperature=temperature)
    weigh = lambda distance: np.exp(-distance / temperature)
    for k in (1, 5, 60):
        judge = KNeighborsClassifier(k, weights=weigh, metric="cosine", algorithm="brute").fit(bank, labels)
        assert result.metrics["per_k"][str(k)]["top1"] == pytest.approx(judge.score(queries, target), abs=1e-6)
        cosine, places = nearest(queries, bank, k)
        shares = vote(cosine, labels[places], 3, temperature, [k])[k]
        assert_close(shares.double(), torch.from_numpy(judge.predict_proba(queries)), atol=1e-4, rtol=1e-3)
    assert 0.5 < result.metrics["per_k"]["5"]["top1"] < 1
    assert [result.counts[f"num_{name}"] for name in ("train", "test", "classes")] == [60, 45, 3]


def test_as_lightly_votes(data):
    benchmarking = pytest.importorskip("lightly.utils.benchmarking")
    bank, labels, queries, _ = unit_features(data)
    expected = benchmarking.knn_predict(queries, bank.T, labels, num_classes=3, knn_k=20, knn_t=0.1)
    cosine, places = nearest(queries, bank, 20)
    assert torch.equal(vote(cosine, labels[places], 3, 0.1, [20])[20].argmax(1), expected[:, 0])


def test_votes_by_hand():
    cosine = torch.tensor([[0.9, 0.8, 0.8, 0.1]])
    labels = torch.tensor([[0, 1, 1, 2]])
    shares = vote(cosine, labels, 4, 0.1, [1, 2, 3, 4])
    e = np.exp(-1)
    assert_close(shares[1], torch.tensor([[1.0, 0, 0, 0]]))
    assert_close(shares[2], torch.tensor([[1, e, 0, 0]]).float() / (1 + e))
    assert_close(shares[3], torch.tensor([[1, 2 * e, 0, 0]]).float() / (1 + 2 * e))
    total = 1 + 2 * e + np.exp(-8)
    assert_close(shares[4], torch.tensor([[1, 2 * e, np.exp(-8), 0]]).float() / total)
    assert torch.isfinite(vote(cosine, labels, 4, 1e-4, [4])[4]).all()


def test_equal_votes_count_as_a_random_order_would_have_them(tmp_path):
    """Yellow lies as near to red as to green."""
    for name, color in {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}.items():
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), color).save(tmp_path / "train" / name / "a.png")
    (tmp_path / "test" / "red").mkdir(parents=True)
    (tmp_path / "test" / "green").mkdir()
    for name in ("red", "green"):
        Image.new("RGB", (8, 8), (255, 255, 0)).save(tmp_path / "test" / name / "a.png")
    result = knn(ColorEncoder(), tmp_path / "train", tmp_path / "test", ks=[2, 3])
    assert result.metrics["per_k"]["2"] == {"top1": pytest.approx(0.5), "top5": 1.0}
    assert result.metrics["per_k"]["3"]["top1"] == pytest.approx(0.5)


def test_classes_go_by_name(data, tmp_path):
    test = write_colors(tmp_path / "some", 10, 0, 2)
    for file in (test / "blue").iterdir():
        file.unlink()
    (test / "blue").rmdir()
    mapping = match_classes(Images(data[0]), Images(test))
    assert mapping.tolist() == [1, 2]
    assert knn(ColorEncoder(), data[0], test, ks=[5]).metrics["per_k"]["5"]["top1"] == 1
    with pytest.raises(InputError, match="classes that the training set lacks: blue"):
        knn(ColorEncoder(), test, data[1])


def test_what_cannot_be_used_is_refused(data, tmp_path):
    encoder = ColorEncoder()
    with pytest.raises(InputError, match="k 61 is more than the 60 training images"):
        knn(encoder, *data, ks=[61])
    with pytest.raises(InputError, match="k 0"):
        knn(encoder, *data, ks=[0])
    with pytest.raises(InputError, match="temperature 0"):
        knn(encoder, *data, temperature=0)
    with torch.no_grad():
        encoder.one.fill_(torch.nan)
    with pytest.raises(InputError, match="NaN or infinite"):
        knn(encoder, *data)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has no labels"):
        knn(ColorEncoder(), tmp_path, tmp_path)


def test_command_line(data, tmp_path, capsys, monkeypatch):
    train, test = map(str, data)
    arguments = ["eval", "knn", "--model", "pixels", "--train-data", train, "--test-data", test, "--out", str(tmp_path)]
    assert main([*arguments, "--k", "5,20", "--resolution", "8"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    assert list(result["metrics"]["per_k"]) == ["5", "20"]
    assert result["metrics"]["per_k"]["5"]["top1"] > 0.6
    for name in ("accuracy_by_k.png", "confusion.png"):
        assert image_size(tmp_path / name) > 300
    assert main([*arguments, "--overwrite", "--limit", "12"]) == 0
    limited = json.loads(capsys.readouterr().out)
    assert (limited["counts"]["num_train"], limited["counts"]["num_test"]) == (12, 12)
    assert list(limited["metrics"]["per_k"]) == ["10"]
    for wrong in (["--k", "five"], ["--limit", "0"], ["--batch-size", "0"], ["--model", "no such model"]):
        assert main([*arguments, "--overwrite", *wrong]) == 2


def test_an_encoder_in_training_stays_in_training(data):
    encoder = TinyConv(8).train()
    knn(encoder, *data, ks=[5])
    assert encoder.training
