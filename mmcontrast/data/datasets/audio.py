"""Recordings as waves: a guarded WAV reader, and data sets of labeled sounds."""

import re
import wave
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor
from torch.utils.data import Dataset

from mmcontrast.data.io.folders import files_in
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

Wave = NDArray[np.float32]


class SoundError(InputError):
    """A recording that cannot be read."""


def read_wav(path: str | Path, rate: int = 16000, longest: float = 600.0) -> Wave:
    """A WAV file of 8, 16, 24 or 32 bits -> (samples,) float32 in [-1, 1], channels averaged, at ``rate`` Hz.

    Raises:
        SoundError: no such file, no PCM wave, cut off, empty, or longer than ``longest`` seconds.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, own_rate, count, *_ = file.getparams()
            if not 0 < count <= longest * own_rate:
                raise SoundError(f"{path}: {count / own_rate:.1f} s of sound; wanted more than 0 and up to {longest} s")
            data = file.readframes(count)
    except (OSError, EOFError, wave.Error) as error:
        raise SoundError(f"{path}: cannot be read as a PCM WAV file ({error or type(error).__name__})") from error
    if len(data) < count * channels * width:
        raise SoundError(f"{path}: is cut off after {len(data)} of {count * channels * width} bytes")
    sound = _integers(data, width).reshape(count, channels).mean(1, dtype=np.float64) / 2.0 ** (8 * width - 1)
    if own_rate != rate:
        divisor = np.gcd(own_rate, rate)
        sound = resample_poly(sound, rate // divisor, own_rate // divisor)
    clipped: Wave = np.clip(sound, -1, 1).astype(np.float32)
    return clipped


def _integers(data: bytes, width: int) -> NDArray[np.integer]:
    if width == 1:
        return np.frombuffer(data, np.uint8).astype(np.int16) - 128
    if width == 3:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0] >> 8
    return np.frombuffer(data, f"<i{width}")


class Sounds(Dataset[dict[str, Any]]):
    """Recordings cut or joined to one length, each with a label from its file name.

    A sample has ``sound`` (length,) float32 in [-1, 1], ``label`` int and ``sample_key`` int. An unreadable file
    gives ``{"corrupt": message, "sample_key": int}``. A long recording is cut at a random position. A short one is
    followed by others of the same ``join`` group, or by silence if there is no group.

    Args:
        root: Folder that is searched for .wav files at any depth.
        length: Number of samples of a sound; CPC uses 20480.
        rate: Sampling rate in Hz. Recordings with other rates are resampled.
        pattern: Regular expression for the file name without .wav; its named groups can be labels. The default matches
            the Free Spoken Digit Dataset, DIGIT_SPEAKER_TAKE.
        label: Name of the group that gives the label.
        join: Name of the group whose recordings may follow each other, or None.
        only: Values to use for some groups, for example {speaker: [george, lucas]}.
    """

    def __init__(
        self,
        root: str | Path,
        length: int = 20480,
        rate: int = 16000,
        pattern: str = r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)",
        label: str = "speaker",
        join: str | None = None,
        only: dict[str, Sequence[str]] | None = None,
    ) -> None:
        groups = re.compile(pattern).groupindex
        if unknown := {label, *([join] if join else []), *(only or {})} - groups.keys():
            raise InputError(f"{', '.join(sorted(unknown))}: no named group of the pattern; it has {', '.join(groups)}")
        files = sorted(Path(root, name) for name in files_in(root) if name.endswith(".wav"))
        matched = [(path, re.fullmatch(pattern, path.stem)) for path in files]
        wanted = [
            (path, match.groupdict())
            for path, match in matched
            if match and all(match[name] in values for name, values in (only or {}).items())
        ]
        if not wanted:
            raise InputError(f"{root}: none of its {len(matched)} .wav files is called {pattern} with what is wanted")
        self.paths, self.names = [path for path, _ in wanted], [names for _, names in wanted]
        self.length, self.rate, self.join = length, rate, join
        self.classes = sorted({names[label] for names in self.names})
        self.labels = np.array([self.classes.index(names[label]) for names in self.names], np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        return str(self.paths[index])

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        draw = np.random.default_rng(sample_key.to_int())
        try:
            sound = self._long_enough(sample_key.index, draw)
        except SoundError as error:
            return {"sample_key": sample_key.to_int(), "corrupt": str(error)}
        start = draw.integers(len(sound) - self.length + 1)
        cut = torch.from_numpy(sound[start : start + self.length].copy())
        return {"sound": cut, "label": int(self.labels[sample_key.index]), "sample_key": sample_key.to_int()}

    def _long_enough(self, index: int, draw: np.random.Generator) -> Wave:
        parts = [read_wav(self.paths[index], self.rate)]
        while self.join and sum(map(len, parts)) < self.length:
            parts.append(read_wav(self.paths[draw.choice(self._groups[self.names[index][self.join]])], self.rate))
        sound = np.concatenate(parts)
        return np.pad(sound, (0, max(0, self.length - len(sound))))

    @cached_property
    def _groups(self) -> dict[str, NDArray[np.int64]]:
        values = np.array([names[self.join] for names in self.names]) if self.join else np.array([])
        return {value: np.flatnonzero(values == value) for value in np.unique(values).tolist()}


class ToySounds(Dataset[dict[str, Any]]):
    """Gliding tones in noise; the class is the speed of the glide.

    A sample has ``sound`` (samples,) in [-1, 1], ``label`` and ``sample_key``.

    Args:
        length: Number of sounds.
        samples: Number of samples of each sound.
    """

    classes = ("falling fast", "falling", "rising", "rising fast")

    def __init__(self, length: int = 128, samples: int = 2560) -> None:
        self.length, self.samples = length, samples

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        if not 0 <= sample_key.index < self.length:
            raise IndexError(sample_key.index)
        generator = torch.Generator().manual_seed(sample_key.index)
        label = sample_key.index % len(self.classes)
        pitch = 0.05 + 0.1 * torch.rand((), generator=generator)  # turns per sample
        pace = (label - 1.5) * 0.6 * pitch / self.samples
        time = torch.arange(self.samples)
        tone: Tensor = (2 * torch.pi * (pitch + pace * time / 2) * time).sin()
        sound = 0.6 * tone + 0.05 * torch.randn(self.samples, generator=generator)
        return {"sound": sound.clamp(-1, 1), "label": label, "sample_key": sample_key.to_int()}
