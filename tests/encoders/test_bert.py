import pytest
import torch
from safetensors.torch import load_file

from mmcontrast.encoders import BertText, HFText
from mmcontrast.errors import InputError
from mmcontrast.models.exporting import export
from mmcontrast.models.loading import BUNDLED, load

FOLDER = BUNDLED / "clip-lite"
TEXTS = [
    "a photo of a dog",
    "A Photo of a Café, déjà vu!",
    "日本の写真",
    "",
    "emoji 😀",
    "x" * 300,
    "word " * 200,
    "\tMIXED  Case\n",
    "[MASK] [SEP]",
    "ﬁ ß Å\x00\u200b",
]


@pytest.fixture(scope="module")
def both() -> tuple[HFText, BertText]:
    state = {
        name.removeprefix("text_encoder."): value for name, value in load_file(FOLDER / "model.safetensors").items()
    }
    state = {name: value.float() for name, value in state.items() if name.startswith("net.")}
    towers = tuple(kind(FOLDER / "text_tower", pretrained=False, context_length=64) for kind in (HFText, BertText))
    for tower in towers:
        tower.eval().load_state_dict(state)
    return towers


def test_texts_become_the_tokens_and_vectors_of_transformers(both):
    theirs, ours = both
    tokens = ours.tokenizer(TEXTS)
    assert torch.equal(tokens, theirs.tokenizer(TEXTS))
    assert [ours.tokenizer.count(text) for text in TEXTS] == [theirs.tokenizer.count(text) for text in TEXTS]
    for batch in (tokens, tokens[:1, :7]):  # with padding and without
        torch.testing.assert_close(ours(batch), theirs(batch), rtol=0, atol=1e-6)


def test_training_is_that_of_transformers(both):
    outputs = []
    assert both[0].layer_ids() == both[1].layer_ids()
    assert [name for name, _ in both[0].named_parameters()] == [name for name, _ in both[1].named_parameters()]
    for tower in both:
        torch.manual_seed(0)  # of dropout
        outputs.append(tower.train()(both[0].tokenizer(TEXTS)))
        tower.eval()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-6)


def test_the_bundled_model_survives_an_export(tmp_path):
    clip = load("clip-lite")
    assert isinstance(clip.text_encoder, BertText)
    again = load(export(clip, tmp_path / "again", dtype="float32"))
    tokens = clip.tokenizer(TEXTS)
    assert torch.equal(again.embed_text(tokens), clip.embed_text(tokens))


def test_a_folder_without_a_bert_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a BERT"):
        BertText(tmp_path)
    for file in ("config.json", "tokenizer.json"):
        (tmp_path / file).write_bytes((FOLDER / "text_tower" / file).read_bytes())
    with pytest.raises(InputError, match="context_length is 600"):
        BertText(tmp_path, pretrained=False, context_length=600)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"bert"', '"roberta"'))
    with pytest.raises(InputError, match="describes no BERT"):
        BertText(tmp_path, pretrained=False)
