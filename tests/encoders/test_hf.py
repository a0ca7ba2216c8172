import pickle

import pytest
import torch
from transformers import AutoTokenizer

from mmcontrast.encoders import HFImage, HFText
from mmcontrast.errors import InputError
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
