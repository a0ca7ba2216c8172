"""Recordings as waves: a guarded WAV reader, and data sets of labeled sounds."""

import re
import wave
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mmcontrast.data.io.folders import files_in, natural_order, refuse_special_file
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

Wave = NDArray[np.float32]

_MIN_RATE, _MAX_RATE = 1_000, 192_000  # Hz
_MAX_DENOMINATOR = 10_000  # of the ratio of two rates; common rates have at most 441


class SoundError(InputError):
    """A recording that cannot be read."""


def read_wav(path: str | Path, rate: int = 16000, longest: float = 600.0) -> Wave:
    """Returns the sound of a PCM WAV file of 8, 16, 24 or 32 bits.

    Channels are averaged. A sound of another rate is resampled. A rate without a small ratio to ``rate`` is taken as
    the nearest that has one, which changes the pitch by less than 0.01 %.

    Args:
        path: The file.
        rate: Sampling rate of the result in Hz, from 1,000 to 192,000.
        longest: The longest recording that is read, in seconds.

    Returns:
        (samples,) float32 in [-1, 1].

    Raises:
        InputError: ``rate`` is out of range.
        SoundError: The file is missing, no PCM wave, cut off, empty, or longer than ``longest`` seconds, or its rate is
            not from 1,000 to 192,000 Hz.
    """
    if not _MIN_RATE <= rate <= _MAX_RATE:
        raise InputError(f"rate is {rate}; wanted {_MIN_RATE} to {_MAX_RATE} Hz")
    try:
        refuse_special_file(path)
        with wave.open(str(path), "rb") as file:
            channels, width, own_rate, count, *_ = file.getparams()
            _check_header(str(path), width, own_rate, count, longest)
            data = file.readframes(count)
    except SoundError:
        raise
    except InputError as error:
        raise SoundError(str(error)) from None
    except Exception as error:  # the reader meets hostile bytes and raises whatever it likes
        reason = str(error) or type(error).__name__
        raise SoundError(f"{path}: cannot be read as a PCM WAV file ({reason})") from error
    if len(data) < count * channels * width:
        raise SoundError(f"{path}: is cut off after {len(data)} of {count * channels * width} bytes")
    sound = _integers(data, width).reshape(count, channels).mean(1, dtype=np.float64) / 2.0 ** (8 * width - 1)
    if own_rate != rate:
        sound = _resample(sound, own_rate, rate)
    clipped: Wave = np.clip(sound, -1, 1).astype(np.float32)
    return clipped


def _check_header(path: str, width: int, rate: int, count: int, longest: float) -> None:
    if width not in (1, 2, 3, 4):
        raise SoundError(f"{path}: has {8 * width} bits per sample; wanted 8, 16, 24 or 32")
    if not _MIN_RATE <= rate <= _MAX_RATE:
        raise SoundError(f"{path}: has a rate of {rate} Hz; wanted {_MIN_RATE} to {_MAX_RATE}")
    if not 0 < count <= longest * rate:
        raise SoundError(f"{path}: {count / rate:.1f} s of sound; wanted more than 0 and up to {longest} s")


def _resample(sound: NDArray[np.float64], own_rate: int, rate: int) -> NDArray[np.float64]:
    """Returns the sound at another rate; the filter has 20 taps for each unit of the ratio, which is kept small."""
    from scipy.signal import resample_poly  # takes long to import, and only some sounds need it

    ratio = Fraction(rate, own_rate).limit_denominator(_MAX_DENOMINATOR)
    resampled: NDArray[np.float64] = resample_poly(sound, ratio.numerator, ratio.denominator)
    return resampled


def _integers(data: bytes, width: int) -> NDArray[np.integer]:
    """Returns the samples of little-endian PCM data as signed integers."""
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
        files = [Path(root, name) for name in files_in(root) if name.lower().endswith(".wav")]
        matched = [(path, re.fullmatch(pattern, path.stem)) for path in files]
        wanted = [
            (path, match.groupdict())
            for path, match in matched
            if match and all(match[name] in values for name, values in (only or {}).items())
        ]
        if not wanted:
            raise InputError(
                f"{root}: none of its {len(matched)} .wav files has a name that matches {pattern} and `only`"
            )
        self.paths, self.names = [path for path, _ in wanted], [names for _, names in wanted]
        self.length, self.rate, self.join = length, rate, join
        self.classes = sorted({names[label] for names in self.names}, key=natural_order)
        self.labels = np.array([self.classes.index(names[label]) for names in self.names], np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Returns the path of a sample's file."""
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
