import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dct

from mmcontrast.cli.main import main
from mmcontrast.data import Sounds
from mmcontrast.encoders import WaveEncoder
from mmcontrast.errors import InputError
from mmcontrast.evals.sound_probe import sound_probe
from mmcontrast.ops.mfcc import mfcc

PITCH = {"ann": 200, "bob": 900}
LENGTH = {"0": 2400, "1": 4000}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers by their pitch and two digits by what falls silent, ten takes of each, in noise."""
    folder, random = tmp_path_factory.mktemp("wav"), np.random.default_rng(0)
    for speaker, pitch in PITCH.items():
        for digit, length in LENGTH.items():
            for take in range(10):
                sound = np.zeros(4800)
                sound[:length] = 0.4 * np.sin(2 * np.pi * pitch * random.uniform(0.9, 1.1) * np.arange(length) / 16000)
                data = np.round(32767 * (sound + 0.01 * random.standard_normal(4800))).astype("<i2").tobytes()
                with wave.open(str(folder / f"{digit}_{speaker}_{take}.wav"), "wb") as file:
                    file.setparams((1, 2, 16000, 0, "NONE", ""))
                    file.writeframes(data)
    return folder


def test_mfcc_is_the_cosine_transform_of_log_mel_energies():
    sound = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    found = mfcc(sound)
    assert found.shape == (1 + (4000 - 400) // 160, 13)
    frame = sound[160:560].numpy() * 0.5 * (1 - np.cos(2 * np.pi * np.arange(400) / 400))
    power = np.abs(np.fft.rfft(frame, 512)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)
    corner = 700 * (10 ** (mel / 2595) - 1)
    pitch = np.arange(257) * 16000 / 512
    bands = [np.interp(pitch, corner[i : i + 3], [0, 1, 0]) @ power for i in range(40)]
    expected = dct(np.log(np.maximum(bands, 1e-10)), norm="ortho")[:13]
    np.testing.assert_allclose(found[1].numpy(), expected, rtol=1e-3, atol=1e-3)


def test_a_sound_shorter_than_a_window_has_one_frame():
    assert mfcc(torch.ones(10)).shape == (1, 13)


def test_pitch_and_length_are_heard_in_the_cepstrum(recordings: Path):
    found = sound_probe(Sounds(recordings))
    assert found.counts["num_train"] == 20
    assert found.counts["num_test"] == 20
    assert found.settings["dim"] == 26
    assert {label: figure["top1"] for label, figure in found.metrics["per_label"].items()} == {
        "speaker": 1.0,
        "digit": 1.0,
    }


def test_nothing_is_told_from_features_that_say_nothing(recordings: Path):
    found = sound_probe(Sounds(recordings), lambda sound: torch.ones(5, 3), ["speaker"])
    assert found.metrics["per_label"]["speaker"]["top1"] == 0.5


def test_an_encoder_is_judged_as_a_whole_and_left_as_it_was(recordings: Path):
    torch.manual_seed(0)
    encoder = WaveEncoder(channels=16, dim=8, kernels=(10, 8, 4), strides=(5, 4, 4)).train()
    found = sound_probe(Sounds(recordings), encoder, ["speaker"])
    assert found.settings["dim"] == 16
    assert found.metrics["per_label"]["speaker"]["top1"] > 0.75
    assert all(module.training for module in encoder.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"labels": ["mood"]}, "mood.*digit, speaker, take"), ({"test": {"take": ["77"]}}, "0 of 40.*take=77")],
)
def test_what_the_names_do_not_have_is_refused(recordings: Path, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        sound_probe(Sounds(recordings), **options)


def test_the_command(recordings: Path, tmp_path: Path, capsys):
    data = ["--data", str(recordings), "--out", str(tmp_path), "--only", "speaker=ann"]
    assert main(["eval", "sound-probe", *data, "--labels", "digit", "--test-group", "take=7,8"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["metrics"]["per_label"]["digit"]["top1"] == 1.0
    assert printed["counts"]["num_test"] == 4
    assert json.loads((tmp_path / "metrics.json").read_text()) == printed
    assert main(["eval", "sound-probe", *data, "--overwrite", "--model", "lab"]) == 2
    assert "is no model of sound" in capsys.readouterr().err
