from pathlib import Path

import numpy as np
import open_clip
import pytest
import sklearn.datasets
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil, SiglipImageProcessorPil

from mmcontrast.errors import InputError
from mmcontrast.methods import SigLIP
from mmcontrast.models.from_open_clip import from_open_clip
from mmcontrast.models.from_transformers import from_transformers
from tests import checkpoints

TEXTS = ["a photo of the old temple", "red flower", "two dog and a cat"]


@pytest.fixture(scope="module")
def photographs():
    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]


def square(images, encoder):
    """As ``encoder`` says its images are made: (B, 3, S, S) in [0, 1]."""
    size, rows = encoder.image_size, []
    for image in images:
        if encoder.crop == "center":
            short = min(image.size)
            image = image.resize([int(side * size / short) for side in image.size], Image.Resampling.BICUBIC)
            left, top = (image.width - size) // 2, (image.height - size) // 2
            image = image.crop((left, top, left + size, top + size))
        else:
            kind = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[encoder.interpolation]
            image = image.resize((size, size), kind)
        rows.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    return torch.stack(rows).float() / 255


@pytest.mark.parametrize("sigmoid", [False, True])
def test_open_clip_embeddings_are_the_same(tmp_path, photographs, sigmoid):
    checkpoints.save_open_clip(tmp_path, sigmoid)
    source, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    source.eval()
    clip = from_open_clip(str(tmp_path), "")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(TEXTS)
    short = clip.tokenizer(TEXTS)
    assert torch.equal(short, tokens[:, : short.shape[1]])
    assert not tokens[:, short.shape[1] :].any()
    with torch.no_grad():
        image = source.encode_image(torch.stack([preprocess(p) for p in photographs]), normalize=True)
        text = source.encode_text(tokens, normalize=True)
        assert (clip.embed_image(square(photographs, clip.image_encoder)) - image).abs().max() < 1e-5
        assert (clip.embed_text(tokens) - text).abs().max() < 1e-5
        assert (clip.embed_text(short) - text).abs().max() < 1e-5
    assert clip.log_scale.item() == pytest.approx(source.logit_scale.item())
    assert isinstance(clip, SigLIP) == sigmoid
    if sigmoid:
        assert clip.bias.item() == -10


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_open_clip_architecture_with_a_checkpoint_file(tmp_path, monkeypatch, suffix):
    model = checkpoints.save_open_clip(tmp_path / "source")
    file = tmp_path / f"weights.{suffix}"
    torch.save({"state_dict": model.state_dict()}, file) if suffix == "pt" else file.write_bytes(
        (tmp_path / "source" / "open_clip_model.safetensors").read_bytes()
    )
    import json

    config = json.loads((tmp_path / "source" / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "small-test", config)
    clip = from_open_clip("small-test", file, trainable_image_layers=0)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = model.encode_image(clip.image_encoder.normalize(image), normalize=True)
        assert torch.allclose(clip.embed_image(image), expected, atol=1e-6)
    assert not clip.image_encoder.net.proj.requires_grad


def test_no_open_clip_weights_means_an_error(tmp_path):
    with pytest.raises(InputError, match=r"No weights 'nonesuch' for open_clip's 'ViT-B-32'.*laion2b_s34b_b79k"):
        from_open_clip("ViT-B-32", "nonesuch")
    with pytest.raises(InputError, match="No weights"):
        from_open_clip("ViT-B-32", "")
    checkpoints.save_open_clip(tmp_path)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match="No weights"):
        from_open_clip(str(tmp_path), "")


def test_hf_clip_embeddings_are_the_same(tmp_path, photographs):
    source = checkpoints.save_hf_clip(tmp_path)
    clip = from_transformers(tmp_path)
    pixels = CLIPImageProcessorPil.from_pretrained(tmp_path)(photographs, return_tensors="pt").pixel_values
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        out = source(pixel_values=pixels, **tokens)
        assert (clip.embed_image(square(photographs, clip.image_encoder)) - out.image_embeds).abs().max() < 1e-5
        assert (clip.embed_text(clip.tokenizer(TEXTS)) - out.text_embeds).abs().max() < 1e-5
    assert clip.log_scale.item() == pytest.approx(source.logit_scale.item())


def test_hf_siglip_embeddings_are_the_same(tmp_path, photographs):
    source = checkpoints.save_hf_siglip(tmp_path)
    clip = from_transformers(tmp_path)
    pixels = SiglipImageProcessorPil.from_pretrained(tmp_path)(photographs, return_tensors="pt").pixel_values
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, return_tensors="pt", padding="max_length", max_length=12)
    assert torch.equal(clip.tokenizer(TEXTS), tokens.input_ids)
    with torch.no_grad():
        out = source(pixel_values=pixels, input_ids=tokens.input_ids)
        assert (clip.embed_image(square(photographs, clip.image_encoder)) - out.image_embeds).abs().max() < 1e-5
        assert (clip.embed_text(tokens.input_ids) - out.text_embeds).abs().max() < 1e-5
    assert isinstance(clip, SigLIP)
    assert clip.bias.item() == -7
    assert clip.image_encoder.crop == "squash"


def test_no_hf_weights_means_an_error(tmp_path):
    with pytest.raises(InputError, match="not on this machine"):
        from_transformers(tmp_path / "nothing")
    checkpoints.save_bert(tmp_path)
    with pytest.raises(InputError, match="holds a bert model; wanted one of CLIP or SigLIP"):
        from_transformers(tmp_path)
