import os
import struct
import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path

import gradio
import numpy as np
import pytest

from mmcontrast.data import Collate, SampleKey, Sounds, ToySounds
from mmcontrast.data.datasets.audio import SoundError, read_wav
from mmcontrast.errors import InputError


def write(path: Path, sound: np.ndarray, rate: int = 16000, width: int = 2) -> Path:
    """(samples,) or (samples, channels) in [-1, 1) -> a WAV file."""
    whole = np.round(sound * 2 ** (8 * width - 1)).astype(np.int64)
    data = (whole + 128).astype(np.uint8) if width == 1 else whole.astype("<i4")
    raw = data.tobytes() if width in (1, 4) else data.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((sound.shape[1] if sound.ndim == 2 else 1, width, rate, 0, "NONE", ""))
        file.writeframes(raw)
    return path


def tone(samples: int, pitch: float, rate: int = 16000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / rate)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_and_stereo(tmp_path: Path, width: int):
    sound = tone(1000, 440)
    read = read_wav(write(tmp_path / "mono.wav", sound, width=width))
    assert read.dtype == np.float32
    step = max(2.0 ** -(8 * width - 1), 1e-7)  # float32 has 24 bits
    assert np.abs(read - sound).max() <= step
    both = read_wav(write(tmp_path / "stereo.wav", np.stack([sound, np.zeros(1000)], 1), width=width))
    assert np.abs(both - sound / 2).max() <= step


def test_resampling_keeps_the_tone(tmp_path: Path):
    read = read_wav(write(tmp_path / "low.wav", tone(8000, 440, 8000), rate=8000))
    assert len(read) == 16000
    assert np.abs(read - tone(16000, 440))[100:-100].max() < 0.01


def test_a_real_recording():
    read = read_wav(Path(gradio.__file__).parent / "media_assets/audio/recording1.wav")
    assert len(read) > 16000
    assert 0.001 < np.abs(read).mean() < 0.5


def test_what_cannot_be_read_is_named(tmp_path: Path):
    good = write(tmp_path / "good.wav", tone(1000, 440)).read_bytes()
    bad = {"cut": good[:-500], "empty": b"", "page": b"<html>not a sound</html>", "none": good[:44]}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SoundError, match=name):
            read_wav(tmp_path / name)
    with pytest.raises(SoundError, match=r"cannot be read"):
        read_wav(tmp_path / "missing.wav")
    with pytest.raises(SoundError, match=r"up to 0\.01 s"):
        read_wav(tmp_path / "good.wav", longest=0.01)


def header(channels: int = 1, rate: int = 16000, bits: int = 16, data_size: int = 2000, chunk: bytes = b"") -> bytes:
    """Returns a WAV file of 2,000 bytes of sound whose header may say something else."""
    width = channels * bits // 8
    fields = struct.pack("<HHIIHH", 1, channels, rate, rate * width % 2**32, width, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fields + chunk + b"data" + struct.pack("<I", data_size) + bytes(2000)
    return b"RIFF" + struct.pack("<I", len(body)) + body


HOSTILE = {
    "data past the end": header(data_size=4000),
    "data of 4 GB": header(data_size=2**32 - 1),
    "chunk past the end": header(chunk=b"LIST" + struct.pack("<I", 2**31)),
    "odd chunk past the end": header(chunk=b"LIST" + struct.pack("<I", 2029)),
    "rate 0": header(rate=0),
    "rate of 9,999,991": header(rate=9_999_991),
    "rate of 4 GHz": header(rate=2**32 - 1),
    "40 bits": header(bits=40),
    "64 bits": header(bits=64),
    "0 bits": header(bits=0),
    "0 channels": header(channels=0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_headers_that_are_not_true(name: str, tmp_path: Path):
    (tmp_path / "hostile.wav").write_bytes(HOSTILE[name])
    with pytest.raises(SoundError, match=r"hostile\.wav"):
        read_wav(tmp_path / "hostile.wav")


def test_pipes_are_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(SoundError, match="named pipe"):
        read_wav(tmp_path / "pipe.wav")


@pytest.mark.parametrize("own_rate", [1_009, 44_101, 191_999])
def test_resampling_of_prime_rates_takes_little_memory(own_rate: int, tmp_path: Path):
    path = write(tmp_path / "prime.wav", tone(own_rate, 220, own_rate), rate=own_rate)
    read_wav(path)  # imports what it needs
    tracemalloc.start()
    read = read_wav(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(len(read) - 16000) <= 1
    assert np.abs(read[:16000] - tone(16000, 220)[: len(read)])[200:-200].max() < 0.01
    assert peak < 20 << 20


def test_scipy_waits_for_a_sound_of_another_rate():
    code = "import sys, mmcontrast.data.datasets.audio as a; print('scipy.signal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_files_and_classes_come_in_natural_order(tmp_path: Path):
    for take in (10, 9, 1):
        write(tmp_path / f"{take}_anna_{take}.wav", tone(100, 440))
    sounds = Sounds(tmp_path, pattern=r"(?P<digit>\d+)_.*", label="digit")
    assert sounds.classes == ["1", "9", "10"]
    assert [path.name for path in sounds.paths] == ["1_anna_1.wav", "9_anna_9.wav", "10_anna_10.wav"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    for i, speaker in enumerate(("anna", "ben")):
        for digit in range(3):
            write(folder / f"{digit}_{speaker}_0.wav", np.full(600, 0.1 * (3 * i + digit + 1)), rate=8000)
    return folder


def test_labels_lengths_and_randomness_by_key(digits: Path):
    sounds = Sounds(digits, length=800, rate=8000, label="digit")
    assert (len(sounds), sounds.classes, sounds.labels.tolist()) == (6, ["0", "1", "2"], [0, 0, 1, 1, 2, 2])
    sample = sounds[3]
    assert sample["label"] == 1
    assert (sample["sound"][600:] == 0).all()  # silence follows
    cut = Sounds(digits, length=100, rate=8000)
    assert cut.classes == ["anna", "ben"]
    assert (cut[SampleKey(2, 1)]["sound"] == cut[SampleKey(2, 1)]["sound"]).all()
    batch = Collate()([cut[i] for i in range(4)])
    assert batch["sound"].shape == (4, 100)
    assert batch["label"].tolist() == [0, 1, 0, 1]


def test_short_recordings_are_followed_by_the_same_speakers(digits: Path):
    sounds = Sounds(digits, length=4000, rate=8000, join="speaker")
    anna, ben = sounds[0]["sound"], sounds[1]["sound"]
    assert anna.abs().min() > 0.05
    assert anna.max() < 0.35 < 0.38 < ben.min()
    assert sounds[0]["sound"].unique().numel() > 1  # more than one recording
    assert not (sounds[SampleKey(0, 1)]["sound"] == anna).all()


def test_a_choice_of_speakers_and_mistakes(digits: Path, tmp_path: Path):
    assert len(Sounds(digits, only={"speaker": ["ben"], "digit": ["0", "2"]})) == 2
    with pytest.raises(InputError, match="no named group"):
        Sounds(digits, label="age")
    with pytest.raises(InputError, match=r"none of its 6 \.wav files"):
        Sounds(digits, only={"speaker": ["carl"]})
    write(tmp_path / "1_anna_0.wav", tone(100, 440))
    (tmp_path / "1_anna_1.wav").write_bytes(b"RIFF")
    sounds = Sounds(tmp_path, length=50)
    assert "1_anna_1.wav" in sounds[1]["corrupt"]
    assert Collate()([sounds[0], sounds[1]])["sound"].shape == (1, 50)
    assert sounds.name(1).endswith("1_anna_1.wav")


def test_toy_sounds_glide_by_class():
    sounds = ToySounds(8, 400)
    assert sounds[5]["label"] == 1
    assert (sounds[5]["sound"] == sounds[5]["sound"]).all()
    assert sounds[0]["sound"].abs().max() <= 1
    with pytest.raises(IndexError):
        sounds[8]
