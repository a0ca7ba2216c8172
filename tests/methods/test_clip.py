import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmcontrast.encoders import TimmEncoder, TinyConv, TinyText
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods import CLIP, SigLIP, wise_ft
from mmcontrast.methods.clip import caption_ids


class Noisy(Encoder):
    """Dropout and batch norm, the two layers that a second pass can get wrong."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.dim, self.stride, self.image_size = 12, 1, 8
        self.stem = nn.Conv2d(3, 12, 3)
        self.norm = nn.BatchNorm2d(12) if norm else nn.Identity()
        self.drop = nn.Dropout(0.4)

    def grid(self, image):
        return self.drop(self.norm(self.stem(image)))


def pairs(clip, count=12, size=8):
    texts = [f"thing {i} of {i % 5}" for i in range(count)]
    torch.manual_seed(7)
    return {"image": torch.rand(count, 3, size, size), "tokens": clip.tokenizer(texts)}


def gradients(clip, batch):
    clip.zero_grad()
    torch.manual_seed(3)
    out = clip(batch)
    out["loss"].backward()
    return out["loss"].detach(), {name: p.grad.clone() for name, p in clip.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("method", [CLIP, SigLIP])
def test_loss_is_the_papers(method):
    torch.manual_seed(0)
    clip = method(TinyConv(), TinyText(), dim=8)
    batch = pairs(clip)
    out = clip(batch)
    image, text = clip.embed_image(batch["image"]), clip.embed_text(batch["tokens"])
    logits = clip.log_scale.exp() * image @ text.T
    if method is CLIP:
        own = torch.arange(len(image))
        expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        assert clip.log_scale.item() == pytest.approx(math.log(1 / 0.07))
        assert out["mutual_information"] == pytest.approx(math.log(12) - expected.item(), abs=1e-5)
    else:
        signs = 2 * torch.eye(len(image)) - 1
        expected = -F.logsigmoid(signs * (logits + clip.bias)).sum() / len(image)
        assert clip.log_scale.item() == pytest.approx(math.log(10))
        assert clip.bias.item() == -10
    assert torch.allclose(out["loss"], expected, atol=1e-5)
    assert out["accuracy"] == ((image @ text.T).argmax(1) == torch.arange(12)).float().mean()


@pytest.mark.parametrize("method", [CLIP, SigLIP])
@pytest.mark.parametrize("micro_batch", [1, 4, 5, 12])
def test_micro_batches_equal_one_batch(method, micro_batch):
    torch.manual_seed(0)
    clip = method(TinyConv(), TinyText(), dim=8, image_head="mlp").double()
    batch = pairs(clip)
    batch["image"] = batch["image"].double()
    whole, expected = gradients(clip, batch)
    clip.micro_batch = micro_batch
    loss, actual = gradients(clip, batch)
    assert torch.allclose(loss, whole, atol=1e-10)
    assert actual.keys() == expected.keys() == dict(clip.named_parameters()).keys()
    for name, gradient in expected.items():
        assert torch.allclose(actual[name], gradient, atol=1e-10), name


@pytest.mark.parametrize("norm", [False, True])
def test_second_pass_replays_dropout_and_leaves_statistics_alone(norm):
    torch.manual_seed(0)
    clip = CLIP(Noisy(norm), TinyText(), dim=8, micro_batch=4)
    plain = copy.deepcopy(clip)
    batch = pairs(clip)
    loss, actual = gradients(clip, batch)

    torch.manual_seed(3)
    parts = zip(batch["image"].split(4), batch["tokens"].split(4), strict=True)
    image, text = zip(*[(plain.embed_image(i), plain.embed_text(t)) for i, t in parts], strict=True)
    logits, own = plain.log_scale.exp() * torch.cat(image) @ torch.cat(text).T, torch.arange(12)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    expected.backward()
    assert torch.allclose(loss, expected, atol=1e-5)
    for name, parameter in plain.named_parameters():
        assert torch.allclose(actual[name], parameter.grad, atol=1e-5), name
    for name, buffer in plain.named_buffers():
        assert torch.allclose(dict(clip.named_buffers())[name], buffer), name


def test_micro_batches_hold_fewer_activations():
    clip = CLIP(TinyConv(), TinyText(), dim=8)
    batch = pairs(clip, count=64, size=64)

    def held():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            clip(batch)
        return sum(sizes)

    whole = held()
    clip.micro_batch = 8
    assert held() - batch["image"].numel() < whole / 100


def test_repeated_captions_are_no_negatives():
    torch.manual_seed(0)
    clip = CLIP(TinyConv(), TinyText(), dim=8)
    batch = {"image": torch.rand(3, 3, 8, 8), "tokens": clip.tokenizer(["a cat", "a dog", "a cat"])}
    image, text = clip.embed_image(batch["image"]), clip.embed_text(batch["tokens"])
    logits = clip.log_scale.exp() * image @ text.T
    logits[0, 2] = logits[2, 0] = -math.inf
    own = torch.arange(3)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert torch.allclose(clip(batch)["loss"], expected, atol=1e-5)
    clip.mask_repeats = False
    assert clip(batch)["loss"] > expected + 0.01


def test_caption_ids_tell_order_apart_and_ignore_padding():
    tokens = torch.tensor([[5, 6, 0, 0], [6, 5, 0, 0], [5, 6, 1, 0], [5, 6, 0, 0]])
    ids = caption_ids(tokens, pad=0)
    assert ids[0] == ids[3] == caption_ids(tokens[:1, :2], pad=0)[0]
    assert len(ids[:3].unique()) == 3


def test_frozen_tower_stays_as_it_is():
    torch.manual_seed(0)
    clip = CLIP(Noisy(norm=True), TinyText(), dim=8, trainable_image_layers=0)
    before = copy.deepcopy(clip.image_encoder.state_dict())
    clip.train()
    assert not any(m.training for m in clip.image_encoder.modules())
    assert clip.text_encoder.training
    optimizer = torch.optim.SGD([p for p in clip.parameters() if p.requires_grad], 0.1)
    clip(pairs(clip))["loss"].backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in clip.image_encoder.state_dict().items())
    assert clip.image_head.weight.grad is not None
    assert not copy.deepcopy(clip).train().image_encoder.training


def test_last_layers_of_a_frozen_tower_can_be_trained():
    image = TimmEncoder("resnet18", cifar_stem=True)
    clip = CLIP(image, TinyText(), dim=8, trainable_image_layers=2, trainable_text_layers=0).train()
    trained = {name for name, p in clip.named_parameters() if p.requires_grad}
    assert trained == {
        *(f"image_encoder.{n}" for n, _ in image.named_parameters() if n.startswith(("net.layer4.1", "net.layer4.0"))),
        "image_head.weight",
        "text_head.weight",
        "log_scale",
    }
    assert not image.net.layer4[1].bn1.training


def test_patch_dropout_reaches_the_tower():
    clip = CLIP(TimmEncoder("vit_tiny_patch16_224", image_size=32), TinyText(), dim=8, patch_dropout=0.5)
    assert clip.image_encoder.net.patch_drop.prob == 0.5
    with pytest.raises(InputError, match="TinyConv has no patches"):
        CLIP(TinyConv(), TinyText(), patch_dropout=0.5)


def test_scale_stays_at_or_below_100_and_can_come_back():
    clip = CLIP(TinyConv(), TinyText(), dim=8, temperature=1e-4)
    clip.after_step(0.5)
    assert clip.log_scale.exp().item() == pytest.approx(100)
    clip(pairs(clip))["loss"].backward()
    assert clip.log_scale.grad != 0


def test_the_scale_of_siglip_has_no_bound():
    siglip = SigLIP(TinyConv(), TinyText(), dim=8, temperature=1 / 117.4)  # of an official model
    siglip.after_step(0.5)
    assert siglip.log_scale.exp().item() == pytest.approx(117.4)


def test_towers_without_heads_must_agree_with_dim():
    with pytest.raises(InputError, match="TinyConv is 16 wide, dim is 8"):
        CLIP(TinyConv(), TinyText(), dim=8, image_head="none")
    clip = CLIP(TinyConv(8), TinyText(8), dim=8, image_head="none", text_head="none")
    assert clip.embed_image(torch.rand(2, 3, 8, 8)).norm(dim=1).tolist() == pytest.approx([1, 1])


def test_wise_ft_interpolates_weights():
    torch.manual_seed(0)
    one, other = (CLIP(TinyConv(), TinyText(), dim=8) for _ in range(2))
    mixed = wise_ft(one, other, 0.25)
    assert torch.allclose(mixed.image_head.weight, 0.75 * one.image_head.weight + 0.25 * other.image_head.weight)
    assert all(torch.equal(a, b) for a, b in zip(wise_ft(one, other, 0).parameters(), one.parameters(), strict=True))
