import json

import pytest
import torch

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.images import Images
from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.evals.few_label import few_label
from mmcontrast.evals.fine_tune import classify, fine_tune
from mmcontrast.evals.logistic import Classifier
from tests.color_clip import ColorEncoder
from tests.evals.labeled_images import image_size, write_colors


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    return write_colors(folder / "train", 20, 70, 0), write_colors(folder / "test", 20, 70, 1)


def test_more_labels_help_and_draws_differ(data):
    result = few_label(ColorEncoder(), *data, fractions=[0.05, 0.1, 1.0], num_seeds=3)
    amounts = result.metrics["per_fraction"]
    assert [amount["num_labels"] for amount in amounts.values()] == [3, 6, 60]
    assert len(set(amounts["0.05"]["frozen"]["runs"])) > 1
    assert amounts["0.05"]["frozen"]["std"] > amounts["1"]["frozen"]["std"] == 0
    assert amounts["0.05"]["frozen"]["mean"] < amounts["1"]["frozen"]["mean"]
    assert "fine_tuned" not in amounts["1"]
    again = few_label(ColorEncoder(), *data, fractions=[0.05], num_seeds=3)
    assert again.metrics["per_fraction"]["0.05"] == amounts["0.05"]


def test_labels_per_class_and_a_block(data):
    torch.manual_seed(0)
    result = few_label(TinyConv(8), *data, labels_per_class=[2, 10], num_seeds=1, block=0)
    assert [amount["num_labels"] for amount in result.metrics["per_labels_per_class"].values()] == [6, 30]
    assert result.metrics["per_labels_per_class"]["2"]["frozen"]["std"] is None


def test_fine_tuning_learns_what_frozen_features_lack(data):
    """An encoder whose features hold nothing; the original stays as it is."""
    torch.manual_seed(0)
    encoder = TinyConv(8)
    with torch.no_grad():
        encoder.net[2].weight.mul_(0)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    result = few_label(encoder, *data, fractions=[0.5], num_seeds=1, tune=True, epochs=25, lr=0.02)
    frozen, tuned = (result.metrics["per_fraction"]["0.5"][name]["mean"] for name in ("frozen", "fine_tuned"))
    assert frozen == pytest.approx(1 / 3)
    assert tuned > 0.6
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_fine_tuning_begins_at_the_classifier_and_repeats(data):
    images = Images(data[0], 8)
    places, target = torch.arange(0, 60, 3), torch.from_numpy(images.labels)[::3]
    start = Classifier(torch.eye(3).flip(0), torch.zeros(3))
    still = fine_tune(ColorEncoder(), start, images, places, target, epochs=1, lr=0.0)
    logits = classify(still, images, places, 7)
    expected = torch.stack([images.pixels(images_key).float().mean((1, 2)) for images_key in keys(places)]) / 255
    torch.testing.assert_close(logits, expected.flip(1))
    first, second = (fine_tune(ColorEncoder(), start, images, places, target, epochs=2, lr=0.01) for _ in range(2))
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, start.weight)


def keys(places):
    from mmcontrast.data.sampler import SampleKey

    return [SampleKey(int(place)) for place in places]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": [0.0]}, "fraction 0"),
        ({"fractions": [1.5]}, "fraction 1.5"),
        ({"fractions": []}, "no fraction of the labels"),
        ({"labels_per_class": [0]}, "0 labels per class"),
        ({"num_seeds": 0}, "0 seeds"),
        ({"tune": True, "block": 0}, "leave the block out"),
    ],
)
def test_what_cannot_be_used_is_refused(data, options, message):
    with pytest.raises(InputError, match=message):
        few_label(ColorEncoder(), *data, **options)


def test_command_line(data, tmp_path, capsys):
    train, test = map(str, data)
    arguments = ["eval", "few-label", "--model", "random:timm:test_vit", "--train-data", train, "--test-data", test]
    arguments += ["--out", str(tmp_path), "--resolution", "32", "--draws", "2"]
    assert main([*arguments, "--fraction", "0.2", "--fine-tune", "--epochs", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    assert len(result["metrics"]["per_fraction"]["0.2"]["fine_tuned"]["runs"]) == 2
    assert image_size(tmp_path / "accuracy_by_labels.png") > 300
    assert main([*arguments, "--overwrite", "--fraction", "all"]) == 2
