import torch

from mmcontrast.encoders import TinyConv, TinyText
from mmcontrast.evals.retrieval import retrieval
from mmcontrast.evals.zero_shot import zero_shot
from mmcontrast.methods.clip import CLIP


def untrained():
    torch.manual_seed(0)
    return CLIP(TinyConv(8), TinyText(8), dim=16)


def test_an_untrained_model_is_at_chance_on_cifar10(test_data):
    result = zero_shot(untrained(), test_data("cifar10/test.tar.gz"))
    assert result.counts["num_images"] == 5000
    assert list(result.metrics["per_class"])[:2] == ["airplane", "automobile"]
    assert abs(result.metrics["top1"] - 0.1) < 0.06
    assert abs(result.metrics["top5"] - 0.5) < 0.12


def test_an_untrained_model_is_at_chance_on_flickr8k(test_data):
    result = retrieval(untrained(), test_data("flickr8k/dev.tar"))
    assert (result.counts["num_images"], result.counts["num_captions"]) == (1000, 5000)
    assert result.metrics["i2t_r1"] <= result.metrics["i2t_r5"] <= result.metrics["i2t_r10"] < 0.05
    assert result.metrics["t2i_r1"] <= result.metrics["t2i_r5"] <= result.metrics["t2i_r10"] < 0.03
