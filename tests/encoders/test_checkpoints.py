"""Checkpoint files of other projects are recognized from their keys and give the features of their own networks."""

import argparse

import pytest
import timm
import torch
import torchvision
from torch import nn

from mmcontrast.encoders import TimmEncoder
from mmcontrast.encoders.checkpoints import read_checkpoint
from mmcontrast.encoders.positions import resample_positions
from mmcontrast.errors import InputError
from mmcontrast.models import export, load

IMAGENET = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
VIT, RESNET, IMAGE_SIZE = "vit_tiny_patch16_224", "resnet18", 32


def prefixed(prefix, state):
    return {f"{prefix}{key}": value for key, value in state.items()}


def other(state):
    """The same names with other values, such as those of a student beside its teacher."""
    return {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in state.items()}


def dino(state):
    student = prefixed("module.backbone.", other(state)) | {"module.head.last_layer.weight_g": torch.ones(4, 1)}
    teacher = prefixed("backbone.", state) | {"head.mlp.0.weight": torch.ones(4, 4)}
    return {"student": student, "teacher": teacher, "epoch": 3, "args": argparse.Namespace(arch="vit_tiny")}


def mae(state):
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_pos_embed": torch.zeros(1, 5, 8)}
    decoder |= {"decoder_blocks.0.norm1.weight": torch.ones(8), "decoder_norm.weight": torch.ones(8)}
    return {"model": state | decoder, "scaler": {"scale": 1.0}, "args": argparse.Namespace(lr=0.1)}


def moco_v3(state):
    branches = prefixed("module.base_encoder.", state) | prefixed("module.momentum_encoder.", other(state))
    return {"epoch": 9, "arch": "vit_small", "state_dict": branches | {"module.predictor.0.weight": torch.ones(2, 2)}}


def moco_v2(state):
    queries = prefixed("module.encoder_q.", state) | {"module.encoder_q.fc.0.weight": torch.ones(4, 4)}
    keys = prefixed("module.encoder_k.", other(state))
    return {"epoch": 9, "arch": RESNET, "state_dict": queries | keys | {"module.queue": torch.ones(4, 4)}}


def swav(state):
    heads = {"module.projection_head.0.weight": torch.ones(4, 4), "module.prototypes.weight": torch.ones(4, 4)}
    return prefixed("module.", state) | heads


def barlow_twins(state):
    return {"epoch": 9, "model": prefixed("module.backbone.", state) | {"module.projector.0.weight": torch.ones(4, 4)}}


def lightly(state):
    children = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    names = {key: f"backbone.{children[key.partition('.')[0]]}.{key.partition('.')[2]}" for key in state}
    heads = {"projection_head.layers.0.weight": torch.ones(4, 4)}
    return {"state_dict": {names[key]: value for key, value in state.items()} | heads, "pytorch-lightning_version": "2"}


def solo_learn(state):
    branches = prefixed("backbone.", state) | prefixed("momentum_backbone.", other(state))
    return {"state_dict": branches | {"projector.0.weight": torch.ones(4, 4)}, "hyper_parameters": {"lr": 0.1}}


def timm_trainer(state):
    return {"state_dict": prefixed("module.", other(state)), "state_dict_ema": state, "arch": RESNET, "epoch": 3}


def lightning(state):
    return {"state_dict": prefixed("model.backbone.", state) | {"model.head.weight": torch.ones(4, 4)}, "epoch": 1}


FORMATS = {
    "DINO": (VIT, dino),
    "MAE": (VIT, mae),
    "MoCo v3": (VIT, moco_v3),
    "MoCo v2": (RESNET, moco_v2),
    "SwAV": (RESNET, swav),
    "Barlow Twins": (RESNET, barlow_twins),
    "lightly": (RESNET, lightly),
    "solo-learn": (RESNET, solo_learn),
    "timm's trainer": (RESNET, timm_trainer),
    "Lightning": (RESNET, lightning),
}


def source_network(name, heads=None):
    torch.manual_seed(0)
    options = {"img_size": IMAGE_SIZE, "num_heads": heads or 3} if name == VIT else {}
    return timm.create_model(name, num_classes=0, **options).eval()


def features(source, image, mean=IMAGENET[0], std=IMAGENET[1]):
    with torch.no_grad():
        return source((image - mean) / std)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_each_project_gives_the_features_of_its_network(tmp_path, kind):
    name, wrap = FORMATS[kind]
    source = source_network(name, 12 if kind == "MoCo v3" else None)
    torch.save(wrap(source.state_dict()), tmp_path / "file.pth.tar")
    encoder, image = load(f"timm:{name}@{tmp_path}/file.pth.tar", image_size=IMAGE_SIZE), torch.rand(2, 3, 32, 32)
    own = () if encoder.init_args.get("mean") or name == RESNET else (0.5, 0.5)
    with torch.no_grad():
        torch.testing.assert_close(encoder(image), features(source, image, *own), atol=1e-5, rtol=0)
    assert {type(value).__name__ for value in encoder.init_args.values()} <= {"str", "int", "bool", "list", "NoneType"}


@pytest.mark.parametrize(("kind", "message"), [("DINO", "add mean"), ("MoCo v3", "add mean"), ("MAE", "add mean")])
def test_a_setting_that_a_run_would_forget_is_demanded(tmp_path, kind, message):
    name, wrap = FORMATS[kind]
    torch.save(wrap(source_network(name).state_dict()), tmp_path / "file.pth")
    with pytest.raises(InputError, match=message):
        TimmEncoder(name, weights=tmp_path / "file.pth", image_size=IMAGE_SIZE)
    normalization = {"mean": IMAGENET[0].flatten().tolist(), "std": IMAGENET[1].flatten().tolist()}
    rounded = {key: [round(value, 3) for value in values] for key, values in normalization.items()}
    settings = {"MoCo v3": {"heads": 12}, "DINO": {"antialias": False}}.get(kind, {})
    for setting, value in settings.items():
        with pytest.raises(InputError, match=f"add {setting}"):
            TimmEncoder(name, weights=tmp_path / "file.pth", image_size=IMAGE_SIZE, **rounded)
        TimmEncoder(name, weights=tmp_path / "file.pth", image_size=IMAGE_SIZE, **rounded, **{setting: value})


def test_a_transformer_that_does_not_say_how_images_are_normalized_is_refused(tmp_path):
    torch.save(source_network(VIT).state_dict(), tmp_path / "file.pth")
    with pytest.raises(InputError, match="does not say how images are normalized"):
        load(f"timm:{VIT}@{tmp_path}/file.pth", image_size=IMAGE_SIZE)
    assert load(f"timm:{VIT}@{tmp_path}/file.pth", image_size=IMAGE_SIZE, mean=[0.5] * 3, std=[0.5] * 3).dim == 192


def test_dinov2_in_chunks_with_registers_and_at_another_size(tmp_path):
    name = "vit_small_patch14_reg4_dinov2"
    source = timm.create_model(name, img_size=56, num_classes=0, dynamic_img_size=True).eval()
    state = {key.replace("reg_token", "register_tokens"): value for key, value in source.state_dict().items()}
    cls, positions = state["cls_token"], state["pos_embed"]
    state["pos_embed"] = torch.cat([torch.zeros_like(cls), positions], 1)
    state["mask_token"] = torch.zeros(1, 384)
    chunks = {
        key.replace("blocks.", f"blocks.{int(key.split('.')[1]) // 4 if key[0] == 'b' else 0}."): v
        for key, v in state.items()
    }
    torch.save(
        {"teacher": prefixed("backbone.", chunks) | {"dino_head.mlp.0.weight": torch.ones(2, 2)}}, tmp_path / "t.pth"
    )
    encoder, image = load(f"timm:{name}@{tmp_path}/t.pth", image_size=56), torch.rand(2, 3, 56, 56)
    with torch.no_grad():
        torch.testing.assert_close(encoder(image), features(source, image), atol=1e-5, rtol=0)
        larger = torch.rand(1, 3, 84, 70)
        source.patch_embed.img_size, source.patch_embed.grid_size = (84, 70), (6, 5)
        source.pos_embed = nn.Parameter(resample_positions(source.pos_embed, 6, 5, 0))
        torch.testing.assert_close(encoder(larger), features(source, larger), atol=1e-5, rtol=0)


def test_positions_are_interpolated_as_in_the_code_of_dino():
    positions = torch.randn(1, 1 + 16, 8)
    grid = positions[:, 1:].view(1, 4, 4, 8).permute(0, 3, 1, 2)
    scaled = nn.functional.interpolate(grid, scale_factor=(6.1 / 4, 3.1 / 4), mode="bicubic")
    expected = torch.cat([positions[:, :1], scaled.flatten(2).mT], 1)
    torch.testing.assert_close(resample_positions(positions, 6, 3, 1), expected)
    assert resample_positions(positions, 4, 4, 1) is positions
    antialiased = TimmEncoder(VIT, image_size=64).eval()
    torch.manual_seed(0)
    sharp = TimmEncoder(VIT, image_size=64, antialias=False).eval()
    sharp.load_state_dict(antialiased.state_dict())
    with torch.no_grad():
        nn.init.normal_(sharp.net.pos_embed)
        antialiased.load_state_dict(sharp.state_dict())
        image = torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(sharp.grid(image), antialiased.grid(image))
        small = torch.rand(1, 3, 32, 32)
        assert (sharp.grid(small) - antialiased.grid(small)).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["vit", "resnet", "convnext", "swin"])
def test_networks_of_torchvision(tmp_path, kind):
    torch.manual_seed(0)
    vit = {"image_size": 32, "patch_size": 16, "num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    name, source, size = {
        "vit": lambda: (VIT, torchvision.models.VisionTransformer(**vit), 32),
        "resnet": lambda: (RESNET, torchvision.models.resnet18(), 64),
        "convnext": lambda: ("convnext_tiny", torchvision.models.convnext_tiny(), 64),
        "swin": lambda: ("swin_tiny_patch4_window7_224", torchvision.models.swin_t(), 224),
    }[kind]()
    torch.save(source.state_dict(), tmp_path / "file.pth")
    options = {"mean": IMAGENET[0].flatten().tolist(), "std": IMAGENET[1].flatten().tolist()} if kind == "vit" else {}
    encoder = load(f"timm:{name}@{tmp_path}/file.pth", image_size=size, **options)
    if kind == "vit":
        source.heads = nn.Identity()
    elif kind == "resnet":
        source.fc = nn.Identity()
    elif kind == "convnext":
        source.classifier[2] = nn.Identity()
    else:
        source.head = nn.Identity()
    image = torch.rand(1, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(encoder(image), features(source.eval(), image), atol=1e-4, rtol=0)


def test_what_is_not_the_network_is_one_short_sentence(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "file.pth")
    for name in (VIT, "resnet50", "convnext_atto"):
        with pytest.raises(InputError, match="does not hold the weights of timm's") as caught:
            load(f"timm:{name}@{tmp_path}/file.pth")
        assert len(str(caught.value)) < 500 + len(str(tmp_path))
    clip = {
        "input_resolution": torch.tensor(224),
        "visual.proj": torch.ones(2, 2),
        "visual.class_embedding": torch.ones(2),
    }
    torch.save(clip, tmp_path / "clip.pt")
    with pytest.raises(InputError, match="QuickGELU"):
        load(f"timm:vit_base_patch32_clip_224@{tmp_path}/clip.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"{}", b"\x00" * 100])
def test_damaged_files_are_refused(tmp_path, content):
    for suffix in (".pth", ".safetensors"):
        (tmp_path / f"file{suffix}").write_bytes(content)
        with pytest.raises(InputError, match=r"damaged|no state dict"):
            read_checkpoint(tmp_path / f"file{suffix}", [])


@pytest.mark.parametrize("content", [[], {}, {"state_dict": []}, {"a": 1}, {1: torch.ones(1)}, torch.ones(2), "text"])
def test_files_without_a_state_dict_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_checkpoint(tmp_path / "file.pth", [])


def test_settings_survive_export(tmp_path):
    from mmcontrast.encoders import TinyText
    from mmcontrast.methods import CLIP

    torch.save(moco_v3(source_network(VIT, 12).state_dict()), tmp_path / "file.pth")
    image = load(f"timm:{VIT}@{tmp_path}/file.pth", image_size=IMAGE_SIZE)
    export(CLIP(image, TinyText(8), dim=4), tmp_path / "out", "float32")
    loaded = load(tmp_path / "out").encoder
    assert loaded.net.blocks[0].attn.num_heads == 12
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(x), image(x))
