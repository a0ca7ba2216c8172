import json

import pytest
import torch

from mmcontrast.cli.main import main
from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.evals.augmented_probe import fit_augmented
from mmcontrast.evals.labeled_features import FeatureSettings, embed_train_and_test
from mmcontrast.evals.linear_probe import linear_probe
from tests.color_clip import ColorEncoder
from tests.evals.labeled_images import image_size, write_colors


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    return write_colors(folder / "train", 15, 30, 0), write_colors(folder / "test", 10, 30, 1)


def test_the_learning_rate_is_chosen_on_held_out_images_and_the_run_repeats(data):
    options = {"protocol": "augmented", "epochs": 8, "lr_sweep": [1e-6, 10.0]}
    result = linear_probe(ColorEncoder(), *data, **options)
    figures = result.metrics["per_feature"]["pooled"]
    assert figures["lr"] == 10.0
    assert figures["validation"]["10"] > figures["validation"]["1e-06"]
    assert figures["top1"] == figures["per_lr"]["10"] > 0.9
    assert linear_probe(ColorEncoder(), *data, **options).metrics == result.metrics
    assert linear_probe(ColorEncoder(), *data, **options, seed=1).metrics != result.metrics


def test_rates_are_learned_side_by_side_as_if_alone(data):
    train, _ = embed_train_and_test(ColorEncoder(), *data, FeatureSettings())
    fit = lambda rates, split=None: fit_augmented(ColorEncoder(), ColorEncoder(), train, [3], rates, split, 2)[0]
    everything = torch.arange(45)
    split = everything, everything
    together = fit([0.1, 1.0], split).classifiers
    for lr, classifier in together.items():
        torch.testing.assert_close(fit([lr]).classifiers[lr].weight, classifier.weight)


def test_the_encoder_stays_as_it_is_and_blocks_get_probes_of_their_own(data):
    torch.manual_seed(0)
    encoder = TinyConv(8).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    result = linear_probe(encoder, *data, blocks="all", protocol="augmented", epochs=1, lr_sweep=[0.1])
    assert list(result.metrics["per_feature"]) == ["block 0", "block 1"]
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_learning_rates_of_0_are_refused(data):
    with pytest.raises(InputError, match="learning rates"):
        linear_probe(ColorEncoder(), *data, protocol="augmented", lr_sweep=[0.0])


def test_on_the_command_line(data, tmp_path, capsys):
    arguments = ["--train-data", str(data[0]), "--test-data", str(data[1]), "--model", "pixels", "--resolution", "8"]
    arguments += ["--protocol", "augmented", "--epochs", "1", "--lr", "0.1,1", "--no-cache", "--out", str(tmp_path)]
    assert main(["eval", "probe", *arguments]) == 0
    assert set(json.loads(capsys.readouterr().out)["metrics"]["per_feature"]["pooled"]["per_lr"]) == {"0.1", "1"}
    assert image_size(tmp_path / "accuracy_by_lr.png") > 300
