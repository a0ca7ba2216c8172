import pickle

import pytest
import torch
from transformers import AutoTokenizer

from mmcontrast.encoders import HFImage, HFText
from mmcontrast.errors import InputError
from mmcontrast.models import load
from tests import checkpoints

TEXTS = ["a photo of the old temple", "two dog", "red flower and a cat in the house"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    return folder, checkpoints.save_bert(folder)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "pooler"])
def test_pooling_equals_the_text_run_alone(bert, pooling):
    folder, source = bert
    encoder = HFText(folder, pooling=pooling).eval()
    with torch.no_grad():
        vectors = encoder(encoder.tokenizer(TEXTS))
        for text, vector in zip(TEXTS, vectors, strict=True):
            output = source(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt"))
            hidden = output.last_hidden_state[0]
            expected = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1], "pooler": output.pooler_output[0]}
            assert torch.allclose(vector, expected[pooling], atol=1e-6)


def test_tokens_are_cut_counted_and_pickled(bert):
    tokenizer = HFText(bert[0], context_length=5).tokenizer
    assert tokenizer(["a cat", TEXTS[2]]).tolist() == [[2, 4, 8, 3, 0], [2, 13, 10, 17, 3]]
    assert tokenizer(["a cat"]).shape == (1, 4)
    assert tokenizer.count("a cat") == 4
    assert tokenizer.count(TEXTS[2]) == 10
    again = pickle.loads(pickle.dumps(tokenizer))
    assert torch.equal(again(TEXTS), tokenizer(TEXTS))
    with pytest.raises(InputError, match="context_length 99 is more than the 16 tokens"):
        HFText(bert[0], context_length=99)


def test_weights_are_optional_but_never_missing(bert, tmp_path):
    checkpoints.save_bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="not on this machine"):
        HFText(tmp_path)
    empty = HFText(tmp_path, pretrained=False)
    empty.load_state_dict(HFText(bert[0]).state_dict())
    with pytest.raises(InputError, match="not on this machine"):
        HFText(tmp_path / "nothing")


def test_partial_weights_are_refused(bert, tmp_path):
    from safetensors.torch import load_file, save_file

    checkpoints.save_bert(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state.pop("encoder.layer.1.output.dense.weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights of its bert model: encoder\.layer\.1"):
        HFText(tmp_path)


def test_layers_of_a_text_model(bert):
    ids = HFText(bert[0], pooling="pooler").layer_ids()
    assert ids["net.embeddings.word_embeddings.weight"] == 0
    assert ids["net.encoder.layer.2.output.dense.weight"] == 3
    assert ids["net.pooler.dense.weight"] == 4


def test_image_tower_of_a_clip_checkpoint(tmp_path):
    source = checkpoints.save_hf_clip(tmp_path)
    encoder = HFImage(tmp_path).eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        output = source.vision_model(pixel_values=encoder.normalize(image))
        assert torch.equal(encoder(image), output.pooler_output)
        cells = source.vision_model.post_layernorm(output.last_hidden_state[:, 1:])
        assert torch.allclose(encoder.grid(image).flatten(2).mT, cells)
        assert encoder.grid(torch.rand(1, 3, 33, 40)).shape == (1, 16, 5, 5)
    assert (encoder.image_size, encoder.interpolation, encoder.crop) == (32, "bicubic", "center")


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_the_end_token_is_text_where_the_padding_has_its_id(tmp_path, pooling):
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    small = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    config = Qwen3Config(**small, num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=16)
    source = Qwen3Model(config).eval()
    source.save_pretrained(tmp_path)
    checkpoints.save_tokenizer(tmp_path, 16, pad="[EOS]")
    encoder = HFText(tmp_path, pooling=pooling).eval()
    library = AutoTokenizer.from_pretrained(tmp_path, padding_side="right")
    with torch.no_grad():
        vectors = encoder(encoder.tokenizer(TEXTS))
        batch = library(TEXTS, return_tensors="pt", padding=True)
        hidden, mask = source(**batch).last_hidden_state, batch["attention_mask"]
    rows = [
        (h[m.bool()].mean(0) if pooling == "mean" else h[int(m.sum()) - 1]) for h, m in zip(hidden, mask, strict=True)
    ]
    torch.testing.assert_close(vectors, torch.stack(rows), atol=1e-6, rtol=0)
    assert encoder.tokenizer.pad == -1


TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VIT = {**TINY, "image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
FAMILIES = {
    "dinov2": VIT,
    "dinov2_with_registers": {**VIT, "num_register_tokens": 2},
    "dinov3_vit": {**VIT, "num_register_tokens": 2},
    "dinov3_convnext": {**STAGES, "image_size": 64},
    "vit": VIT,
    "vit_mae": VIT,
    "vit_msn": VIT,
    "deit": VIT,
    "beit": VIT,
    "data2vec-vision": VIT,
    "swin": SWIN,
    "swinv2": SWIN,
    "convnext": STAGES,
    "convnextv2": STAGES,
    "hiera": {"image_size": [64, 64], "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
    "siglip_vision_model": VIT,
    "siglip2_vision_model": {**TINY, "patch_size": 8, "num_patches": 16},
    "ijepa": VIT,
    "aimv2_vision_model": VIT,
    "clip_vision_model": VIT,
    "resnet": {**STAGES, "embedding_size": 8, "layer_type": "basic"},
    "regnet": {**STAGES, "embedding_size": 8, "groups_width": 8},
    "pvt_v2": {},
    "focalnet": {"image_size": 64, "embed_dim": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "focal_levels": [1, 1]},
}


def save_image_model(folder, kind):
    """A small image model of transformers with random weights and its preprocessing."""
    from transformers import CONFIG_MAPPING, AutoModel
    from transformers.image_processing_base import ImageProcessingMixin

    torch.manual_seed(0)
    model = AutoModel.from_config(CONFIG_MAPPING[kind](**FAMILIES[kind])).eval()
    model.save_pretrained(folder)
    side = 64 if "patch_size" not in FAMILIES[kind] or "embed_dim" in FAMILIES[kind] else 32
    settings = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3], "size": {"height": side, "width": side}}
    ImageProcessingMixin(**settings).save_pretrained(folder)
    return model, side


@pytest.mark.parametrize("kind", FAMILIES)
def test_image_models_of_all_families_are_those_of_the_library(tmp_path, kind):
    source, side = save_image_model(tmp_path, kind)
    encoder = load(f"hf:{tmp_path}")
    assert (encoder.image_size, encoder.crop) == (side, "squash")
    image = torch.rand(2, 3, side, side)
    options = {}
    if kind == "vit_mae":
        source.config.mask_ratio, options["noise"] = 0.0, torch.arange(16.0).expand(2, -1)
    with torch.no_grad():
        if kind == "siglip2_vision_model":
            inputs = encoder.normalize(image).unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 4, 5, 1).flatten(3)
            ones, sizes = torch.ones(2, 16, dtype=torch.int64), torch.tensor([[4, 4], [4, 4]])
            output = source(pixel_values=inputs.flatten(1, 2), pixel_attention_mask=ones, spatial_shapes=sizes)
        else:
            output = source(pixel_values=encoder.normalize(image), **options)
        grid, pooled = encoder.grid(image), encoder(image)
        odd = encoder.grid(torch.rand(1, 3, 65, 90))
    hidden = output.last_hidden_state
    cells = hidden.flatten(2).mT if hidden.ndim == 4 else hidden[:, -grid[0, 0].numel() :]
    if kind == "clip_vision_model":
        cells = source.post_layernorm(cells)
    torch.testing.assert_close(grid.flatten(2).mT, cells, atol=1e-5, rtol=0)
    expected = getattr(output, "pooler_output", None)
    if expected is None:
        expected = {"ijepa": hidden.mean(1), "pvt_v2": hidden.flatten(2).mean(2)}.get(kind, hidden[:, 0])
    torch.testing.assert_close(pooled, expected.flatten(1), atol=1e-5, rtol=0)
    assert odd.shape == (1, encoder.dim, -(-65 // encoder.stride), -(-90 // encoder.stride))


def test_a_pooler_without_weights_is_not_used(tmp_path):
    from safetensors.torch import load_file, save_file

    source, _ = save_image_model(tmp_path, "vit")
    state = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in state.items() if "pooler" not in k}, tmp_path / "model.safetensors", {"format": "pt"})
    encoder, image = load(f"hf:{tmp_path}"), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = source(pixel_values=encoder.normalize(image)).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder(image), expected)
    assert encoder.save_files(tmp_path / "out") == {"name": "./image_tower", "pooler": False}


def test_what_makes_no_features_of_images_is_refused(bert):
    with pytest.raises(InputError, match=r"no preprocessor_config\.json"):
        load(f"hf:{bert[0]}")
