import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.images import Images
from mmcontrast.encoders import TimmEncoder, TinyConv
from mmcontrast.errors import InputError
from mmcontrast.evals import logistic
from mmcontrast.evals.labeled_features import FeatureSettings, embed_train_and_test
from mmcontrast.evals.linear_probe import BlockMeans, fit_sgd, linear_probe
from mmcontrast.evals.logistic import Scaling, accuracy, choose_C, fit_logistic, fit_scaled
from mmcontrast.evals.splits import stratified_folds, stratified_sample, stratified_split
from tests.color_clip import ColorEncoder
from tests.evals.labeled_images import image_size, write_colors


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    return write_colors(folder / "train", 25, 60, 0), write_colors(folder / "test", 15, 60, 1)


@pytest.fixture(scope="module")
def samples():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(150, 6, generator=random, dtype=torch.float64) @ torch.randn(
        6, 6, generator=random, dtype=torch.float64
    )
    y = (x[:, :3] + torch.randn(150, 3, generator=random, dtype=torch.float64)).argmax(1)
    return x, y


@pytest.mark.parametrize("C", [1e-3, 1.0, 100.0])
def test_the_same_classifier_as_scikit_learn(samples, C, monkeypatch):
    x, y = samples
    expected = LogisticRegression(C=C, tol=1e-9, max_iter=5000).fit(x, y)
    monkeypatch.setattr(logistic, "ROWS", 40)
    found = fit_logistic(x, y, 3, C, tolerance=1e-8)
    assert_close(found.weight, torch.from_numpy(expected.coef_), atol=2e-5, rtol=1e-4)
    probabilities = torch.from_numpy(expected.predict_proba(x))
    assert_close(found(x).softmax(1), probabilities, atol=1e-5, rtol=1e-4)
    shares = torch.nn.functional.one_hot(y, 3).double()
    assert_close(fit_logistic(x, shares, 3, C, tolerance=1e-8).weight, found.weight, atol=1e-5, rtol=1e-4)


def test_shares_of_classes_are_samples_with_weights(samples):
    x, y = samples
    twice = fit_logistic(torch.cat([x, x[:50]]), torch.cat([y, y[:50]]), 3, tolerance=1e-8)
    shares = torch.nn.functional.one_hot(y, 3).double()
    shares[:50] *= 2
    assert_close(fit_logistic(x, shares, 3, tolerance=1e-8).weight, twice.weight, atol=1e-5, rtol=1e-4)
    assert accuracy(shares, shares) == 1


def test_scaling_is_folded_into_the_classifier(samples):
    x, y = samples
    x = torch.cat([100 + 30 * x, torch.full((150, 1), 7.0, dtype=torch.float64)], 1)
    scaled = StandardScaler().fit_transform(x)
    assert_close(Scaling.of(x)(x), torch.from_numpy(scaled))
    expected = LogisticRegression(C=0.5, tol=1e-9, max_iter=5000).fit(scaled, y).predict_proba(scaled)
    found = fit_scaled(x, y, 3, 0.5)
    assert_close(found(x).softmax(1), torch.from_numpy(expected), atol=2e-3, rtol=1e-2)
    assert not found.weight[:, 6].any()


def test_C_is_chosen_where_the_held_out_part_does_best(samples):
    x, y = samples
    splits = stratified_folds(y, 3)
    best, curve = choose_C(x, y, 3, splits, [100.0, 1e-4, 0.1])
    assert list(curve) == [1e-4, 0.1, 100.0]
    for C, found in curve.items():
        shares = []
        for fitting, held_out in splits:
            scaler = StandardScaler().fit(x[fitting])
            judge = LogisticRegression(C=C, tol=1e-6).fit(scaler.transform(x[fitting]), y[fitting])
            shares.append(judge.score(scaler.transform(x[held_out]), y[held_out]))
        assert found == pytest.approx(np.mean(shares), abs=0.011)
    assert curve[best] == max(curve.values())
    assert best == min(C for C in curve if curve[C] == curve[best])


def test_a_sweep_ends_when_it_only_gets_worse():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    x = torch.randn(120, 60, generator=generator)
    x[:, 0] += 2.0 * y  # one feature counts, the others are there to be learned by heart
    sweep = [10.0**exponent for exponent in range(-5, 9)]
    splits = [(torch.arange(0, 80), torch.arange(80, 120))]
    best, curve = choose_C(x, y, 3, splits, sweep)
    assert list(curve) == sweep[: len(curve)]
    assert best < sweep[len(curve) - 4]
    assert len(curve) < len(sweep)
    assert curve[best] == max(curve.values()) > 0.5


def test_splits_are_stratified():
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 3 + [3])
    places = stratified_sample(labels, 0.1, seed=3)
    assert labels[places].bincount().tolist() == [5, 2, 1, 1]
    assert torch.equal(places, stratified_sample(labels, 0.1, seed=3))
    assert not torch.equal(places, stratified_sample(labels, 0.1, seed=4))
    assert labels[stratified_sample(labels, per_class=4)].bincount().tolist() == [4, 4, 3, 1]
    fitting, held_out = stratified_split(labels, 0.2)
    assert labels[held_out].bincount().tolist() == [10, 4, 1]
    assert torch.cat([fitting, held_out]).sort().values.tolist() == list(range(74))
    parts = stratified_folds(labels, 5)
    assert torch.cat([held for _, held in parts]).sort().values.tolist() == list(range(74))
    for fitting, held in parts:
        assert labels[held].bincount(minlength=4)[:2].tolist() == [10, 4]
        assert not set(fitting.tolist()) & set(held.tolist())


def test_the_probe_as_scikit_learn_does_it(data):
    encoder = ColorEncoder()
    result = linear_probe(encoder, *data, C_sweep=[0.01, 1.0])
    figure = result.metrics["per_feature"]["pooled"]
    train, test = embed_train_and_test(encoder, *data, FeatureSettings())
    scaler = StandardScaler().fit(train.vectors)
    judge = LogisticRegression(C=figure["C"], tol=1e-6).fit(scaler.transform(train.vectors), train.labels)
    assert figure["top1"] == pytest.approx(judge.score(scaler.transform(test.vectors), test.labels), abs=0.03)
    assert figure["train_top1"] == pytest.approx(judge.score(scaler.transform(train.vectors), train.labels), abs=0.03)
    assert (figure["dim"], figure["top5"], result.counts["num_train"]) == (3, 1.0, 75)


def test_sgd_comes_near_the_optimum(samples):
    x, y = samples
    best = accuracy(fit_scaled(x, y, 3, 100.0)(x), y)
    assert accuracy(fit_sgd(x.float(), y, 3, epochs=60)(x.float()), y) == pytest.approx(best, abs=0.03)


def test_blocks_of_an_encoder(data):
    torch.manual_seed(0)
    encoder = TinyConv(8)
    result = linear_probe(encoder, *data, blocks="all", C_sweep=[0.1])
    assert list(result.metrics["per_feature"]) == ["block 0", "block 1"]
    last = linear_probe(encoder, *data, blocks=[-1], C_sweep=[0.1]).metrics["per_feature"]
    assert list(last) == ["block 1"]
    pooled = linear_probe(encoder, *data, C_sweep=[0.1]).metrics["per_feature"]["pooled"]
    assert pooled == {**last["block 1"]}
    with pytest.raises(InputError, match="block 2: this encoder has blocks 0 to 1"):
        linear_probe(encoder, *data, blocks=[2])
    image = torch.rand(2, 3, 32, 32)
    assert BlockMeans(TimmEncoder("test_vit"), [0, 2])(image).shape == (2, 128)


def test_other_blocks_are_other_features_in_the_cache(data):
    encoder = TinyConv(8)
    cached = FeatureSettings(cache=True)
    first = linear_probe(encoder, *data, blocks=[0], C_sweep=[0.1], settings=cached)
    other = linear_probe(encoder, *data, blocks=[1], C_sweep=[0.1], settings=cached)
    assert linear_probe(encoder, *data, blocks=[0], C_sweep=[0.1], settings=cached).metrics == first.metrics
    assert other.metrics["per_feature"].keys() != first.metrics["per_feature"].keys()


def test_what_cannot_be_used_is_refused(data, tmp_path):
    encoder = TinyConv(8)
    with pytest.raises(InputError, match="protocol 'svm'"):
        linear_probe(encoder, *data, protocol="svm")
    with pytest.raises(InputError, match="held-out fraction 1"):
        linear_probe(encoder, *data, held_out_fraction=1)
    with pytest.raises(InputError, match="values of C"):
        linear_probe(encoder, *data, C_sweep=[0.0])
    for name in "ab":
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "1.png")
    with pytest.raises(InputError):
        linear_probe(encoder, Images(tmp_path, 8), Images(tmp_path, 8))


@pytest.mark.parametrize("protocol", [["--C", "0.01,1", "--blocks", "0,1"], ["--protocol", "sgd", "--epochs", "5"]])
def test_command_line(data, tmp_path, capsys, protocol):
    train, test = map(str, data)
    arguments = ["eval", "probe", "--model", "random:timm:test_vit", "--train-data", train, "--test-data", test]
    arguments += ["--out", str(tmp_path), "--resolution", "32", "--limit", "40"]
    assert main([*arguments, *protocol]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    assert image_size(tmp_path / "confusion.png") > 300
    if "--blocks" in protocol:
        assert image_size(tmp_path / "accuracy_by_block.png") > 300
        assert image_size(tmp_path / "accuracy_by_C.png") > 300
    assert main([*arguments, "--overwrite", "--blocks", "first"]) == 2
    assert "wanted numbers with commas" in capsys.readouterr().err
