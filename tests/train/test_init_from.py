import pytest
import torch
from safetensors.torch import save_file

from mmcontrast.data import ToyPairs
from mmcontrast.encoders import TinyConv, TinyText
from mmcontrast.errors import InputError
from mmcontrast.methods import CLIP, DINO, MoCo, SimCLR
from mmcontrast.train.init_from import copy_shared_weights
from tests.train.tiny import Regress, train


def test_starts_from_the_weights_that_names_and_shapes_share(tmp_path, capsys):
    given = {"line.0.weight": torch.full((4, 4), 0.25), "line.3.weight": torch.ones(7, 7), "other": torch.ones(2)}
    save_file(given, tmp_path / "part.safetensors")
    method = train(tmp_path / "run", init_from=str(tmp_path / "part.safetensors"), lr=0.0)
    assert torch.equal(method.line[0].weight, given["line.0.weight"])
    assert "1 of " in capsys.readouterr().err


def test_a_resumed_run_goes_on_from_its_own(tmp_path):
    save_file({"line.0.weight": torch.full((4, 4), 0.25)}, tmp_path / "part.safetensors")
    trained = train(tmp_path / "run", max_epochs=2, max_steps=4)
    resumed = train(tmp_path / "run", init_from=str(tmp_path / "part.safetensors"), lr=0.0, max_epochs=2, resume=True)
    assert torch.equal(resumed.line[0].weight, trained.line[0].weight)


def test_starts_from_another_run(tmp_path, capsys):
    clip = lambda: CLIP(TinyConv(dim=8), TinyText(dim=8), dim=8)
    trained = train(tmp_path / "first", clip(), ToyPairs(length=8, size=16))
    capsys.readouterr()
    begun = train(tmp_path / "second", clip(), ToyPairs(length=8, size=16), init_from=str(tmp_path / "first"), lr=0.0)
    assert all(torch.equal(a, b) for a, b in zip(begun.parameters(), trained.parameters(), strict=True))
    count = len(begun.state_dict())
    assert f"starting from {tmp_path / 'first'}: {count} of {count} tensors" in capsys.readouterr().err


def test_an_encoder_goes_into_every_encoder_of_another_method(tmp_path):
    torch.manual_seed(0)
    source = SimCLR(TinyConv(dim=8))
    save_file(source.state_dict(), tmp_path / "simclr.safetensors")
    dino = DINO(TinyConv(dim=8), prototypes=8, hidden=8, bottleneck=4)
    moco = MoCo(TinyConv(dim=8), queue_size=8)
    for method in (dino, moco):
        copy_shared_weights(method, tmp_path / "simclr.safetensors")
    for encoder in (dino.student, dino.teacher, moco.encoder, moco.key_network[0]):
        assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), source.encoder.parameters(), strict=True))


def test_a_method_in_evaluation_mode_is_trained_in_training_mode(tmp_path):
    assert len(train(tmp_path / "run", Regress().eval()).seen) == 4


def test_weights_that_are_not_there_or_no_weights(tmp_path):
    with pytest.raises(InputError, match="no such file of weights to start from"):
        train(tmp_path / "run", init_from=str(tmp_path / "nowhere.safetensors"))
    (tmp_path / "text.safetensors").write_text("no tensors here")
    with pytest.raises(InputError, match=r"is no \.safetensors file"):
        train(tmp_path / "other", init_from=str(tmp_path / "text.safetensors"))


def test_nothing_in_common(tmp_path):
    save_file({"other": torch.ones(2)}, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="no weights in common with this Regress; it has other"):
        train(tmp_path / "run", Regress(), init_from=str(tmp_path / "part.safetensors"))
