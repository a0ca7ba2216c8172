import pickle

import open_clip
import pytest
import torch

from mmcontrast.encoders import OpenClipImage, OpenClipText
from mmcontrast.encoders.openclip_checkpoint import with_activation
from mmcontrast.errors import InputError
from mmcontrast.models import load
from tests import checkpoints

VISION = {
    "vit": {"image_size": 32, "layers": 3, "width": 16, "patch_size": 8, "head_width": 8},
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None, "head_width": 16},
    "timm": {"image_size": 64, "timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": "linear"},
}


@pytest.mark.parametrize("kind", VISION)
def test_towers_of_every_kind_have_both_outputs(tmp_path, kind):
    checkpoints.save_open_clip(tmp_path, vision=VISION[kind])
    encoder = OpenClipImage(str(tmp_path)).eval()
    size = VISION[kind]["image_size"]
    with torch.no_grad():
        assert encoder(torch.rand(2, 3, size, size)).shape == (2, 8)
        grid = encoder.grid(torch.rand(1, 3, 70, 96))
    assert grid.shape == (1, 8, -(-70 // encoder.stride), -(-96 // encoder.stride))
    assert (encoder.crop, encoder.interpolation) == ("squash", "bilinear")
    assert encoder.std.flatten().tolist() == [0.5, 0.25, 0.5]


def test_grid_of_a_vit_is_its_projected_tokens(tmp_path):
    source = checkpoints.save_open_clip(tmp_path)
    encoder = OpenClipImage(str(tmp_path)).eval()
    encoder.net.load_state_dict(source.visual.state_dict())
    source.visual.output_tokens = True
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        _, tokens = source.visual(encoder.normalize(image))
        assert torch.allclose(encoder.grid(image).flatten(2).mT, tokens @ source.visual.proj, atol=1e-6)


def test_projection_is_the_last_layer(tmp_path):
    checkpoints.save_open_clip(tmp_path)
    image, text = OpenClipImage(str(tmp_path)).layer_ids(), OpenClipText(str(tmp_path)).layer_ids()
    assert image["net.conv1.weight"] == image["net.positional_embedding"] == 0
    assert image["net.proj"] == image["net.ln_post.weight"] == 4
    assert text["net.token_embedding.weight"] == 0
    assert text["net.text_projection"] == text["net.ln_final.weight"] == 3


def test_tokenizer_counts_and_pickles(tmp_path):
    checkpoints.save_open_clip(tmp_path)
    tokenizer = OpenClipText(str(tmp_path)).tokenizer
    assert tokenizer(["a cat", "a"]).shape == (2, 4)
    assert tokenizer(["cat " * 50]).shape == (1, 12)
    assert tokenizer.count("a cat") == 4
    assert torch.equal(pickle.loads(pickle.dumps(tokenizer))(["a dog"]), tokenizer(["a dog"]))


def test_short_texts_are_embedded_as_open_clip_embeds_them_padded(tmp_path):
    source = checkpoints.save_open_clip(tmp_path, sigmoid=True)
    encoder = OpenClipText(str(tmp_path)).eval()
    encoder.net.load_state_dict(source.text.state_dict())
    texts = ["a cat!", "", "one two three four five six seven eight nine ten eleven twelve"]
    with torch.no_grad():
        expected = source.encode_text(encoder.tokenizer.source(texts))
        assert torch.allclose(encoder(encoder.tokenizer(texts)), expected, atol=1e-6)
        assert torch.allclose(encoder(encoder.tokenizer(texts[:2])), expected[:2], atol=1e-6)


def test_patches_are_dropped_in_training_only(tmp_path):
    checkpoints.save_open_clip(tmp_path)
    encoder = OpenClipImage(str(tmp_path))
    encoder.drop_patches(0.75)
    seen = []
    encoder.net.ln_pre.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    encoder.train()(torch.rand(1, 3, 32, 32))
    encoder.eval()(torch.rand(1, 3, 32, 32))
    assert seen == [5, 17]


def test_activation_is_that_of_the_weights():
    assert with_activation("ViT-B-32", "openai") == "ViT-B-32-quickgelu"
    assert with_activation("ViT-B-32-quickgelu", "openai") == "ViT-B-32-quickgelu"
    assert with_activation("ViT-B-32", "laion2b_s34b_b79k") == "ViT-B-32"
    assert with_activation("ViT-B-32", "weights.pt") == "ViT-B-32"


def test_unknown_architecture_is_refused():
    with pytest.raises(InputError, match="no architecture 'ViT-Z-99'"):
        OpenClipImage("ViT-Z-99")


def test_files_of_openai_get_their_activation_and_other_architectures_are_refused(tmp_path, monkeypatch):
    small = {"embed_dim": 8, "vision_cfg": VISION["vit"]}
    small["text_cfg"] = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    wide = {**small, "vision_cfg": {**VISION["vit"], "width": 32}}
    deep = {**small, "text_cfg": {**small["text_cfg"], "width": 32, "layers": 3}}
    models = {"tiny": small, "tiny-quickgelu": {**small, "quick_gelu": True}, "wide": wide, "deep": deep}
    models["resnet"] = {**small, "vision_cfg": VISION["resnet"]}
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", models)
    monkeypatch.setattr(open_clip, "list_models", lambda: list(models))
    torch.manual_seed(0)
    source = open_clip.CLIP(**models["tiny-quickgelu"]).eval()
    torch.save(source.state_dict(), tmp_path / "open_clip.pt")
    settings = {"input_resolution": 32, "context_length": 12, "vocab_size": 49408}
    state = source.state_dict() | {key: torch.tensor(value) for key, value in settings.items()}
    torch.save(state, tmp_path / "openai.pt")
    clip, image = load(f"open_clip:tiny/{tmp_path}/openai.pt"), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = source.encode_image(clip.encoder.normalize(image), normalize=True)
        torch.testing.assert_close(clip.embed_image(image), expected, atol=1e-5, rtol=0)
        plain = load(f"open_clip:tiny/{tmp_path}/open_clip.pt")
        assert (plain.embed_image(image) - expected).abs().max() > 1e-4
    for arch in ("wide", "deep", "resnet"):
        for file in ("openai.pt", "open_clip.pt"):
            with pytest.raises(InputError, match=f"does not hold the weights of open_clip's '{arch}'") as caught:
                load(f"open_clip:{arch}/{tmp_path}/{file}")
            assert len(str(caught.value)) < 500 + len(str(tmp_path))
