"""What all methods refuse in one sentence, and where the random streams of new ones come from."""

import pytest
import torch

from mmcontrast.encoders import TinyConv, TinyText, ViT
from mmcontrast.errors import InputError
from mmcontrast.methods import CLIP, DINO, MAE, DenseObjectNet, Method, MoCo, MoCoV3, SigLIP, SimCLR
from mmcontrast.ops.random import stream_of


def views(count: int) -> dict:
    return {"views": [torch.rand(count, 3, 16, 16) for _ in range(2)], "sample_key": torch.arange(count)}


def captions(count: int) -> dict:
    return {"image": torch.rand(count, 3, 16, 16), "tokens": torch.randint(1, 9, (count, 4))}


@pytest.mark.parametrize(
    ("build", "batch"),
    [
        (lambda: CLIP(TinyConv(8), TinyText(8), dim=4), captions),
        (lambda: SigLIP(TinyConv(8), TinyText(8), dim=4), captions),
        (lambda: CLIP(TinyConv(8), TinyText(8), dim=4, micro_batch=1), captions),
        (lambda: SimCLR(TinyConv(8), dim=4), views),
        (lambda: MoCoV3(TinyConv(8), dim=4, hidden=8), views),
    ],
)
def test_a_batch_of_one_is_refused_in_training_only(build, batch):
    method = build()
    with pytest.raises(InputError, match=r"holds only 1; set data.batch_size to 2 or more"):
        method(batch(1))
    assert method(batch(2))["loss"].isfinite()
    assert method.eval()(batch(1))["loss"].isfinite()  # the last batch of a validation set


@pytest.mark.parametrize(
    ("method", "batch", "message"),
    [
        (lambda: SimCLR(TinyConv(8)), {"image": 0}, "SimCLR needs views .* has image; set data.augment to TwoViews"),
        (lambda: MoCo(TinyConv(8)), {}, "needs views, sample_key .* has no entries"),
        (lambda: DINO(TinyConv(8), 8), {"image": 0}, "set data.augment to MultiCrop"),
        (lambda: DenseObjectNet(TinyConv(8)), {"image": 0}, "DenseObjectNet needs image_a.* to ScenePairs"),
        (lambda: CLIP(TinyConv(8), TinyText(8)), {"image": 0}, "CLIP needs tokens .* ImageText"),
        (lambda: CLIP(TinyConv(8), TinyText(8)), torch.rand(2, 3, 16, 16), "CLIP got a Tensor; it needs a batch"),
    ],
)
def test_a_batch_without_an_entry_is_refused(method, batch, message: str):
    with pytest.raises(InputError, match=message):
        method()(batch)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SimCLR("resnet18"), r"SimCLR got 'resnet18' as encoder, .* Encoder, .*TimmEncoder"),
        (lambda: SimCLR(encoder=TinyConv), "SimCLR got a type as encoder"),
        (lambda: MAE("vit"), "MAE got 'vit' as encoder"),
        (lambda: CLIP(TinyConv(8), "bert"), r"CLIP got 'bert' as text_encoder, and needs .* TextEncoder.*HFText"),
        (lambda: CLIP(TinyText(8), TinyConv(8)), "CLIP got a TinyText as image_encoder"),
    ],
)
def test_anything_but_an_encoder_is_refused(build, message: str):
    with pytest.raises(InputError, match=message):
        build()


def test_streams_of_new_methods_come_from_their_names():
    class Fresh(Method):
        pass

    class Fixed(Method):
        random_stream = 7

    class Inherited(Fixed):
        pass

    assert Fresh.random_stream == stream_of("Fresh") != stream_of("Fixed")
    assert (Fixed.random_stream, Inherited.random_stream) == (7, stream_of("Inherited"))
    assert MAE.random_stream == 2004
    assert MAE(ViT(image_size=16, patch_size=4, dim=16, depth=1, heads=2)).random_stream == 2004
