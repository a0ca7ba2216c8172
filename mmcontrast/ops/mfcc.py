"""Mel-frequency cepstral coefficients, the baseline for learned features of sound.

Davis and Mermelstein 1980, https://doi.org/10.1109/TASSP.1980.1163420
"""

import math

import torch
from torch import Tensor


def mfcc(sound: Tensor, rate: int = 16000, count: int = 13, bands: int = 40) -> Tensor:
    """Computes the cepstrum of Hann windows of 25 ms, 100 times per second.

    Args:
        sound: Samples (N,) in [-1, 1]; silence is appended to sounds that are shorter than a window.
        rate: Samples per second.
        count: Number of coefficients; the first measures the loudness.
        bands: Number of triangular filters, evenly spaced on the mel scale 2595 log10(1 + f / 700) from 0 to rate / 2.

    Returns:
        Coefficients (T, count).
    """
    window, hop = round(0.025 * rate), round(0.010 * rate)
    size = 1 << (window - 1).bit_length()
    padded = torch.nn.functional.pad(sound, (0, max(0, window - len(sound))))
    frames = padded.unfold(0, window, hop) * torch.hann_window(window, device=sound.device)  # (T, window)
    power = torch.fft.rfft(frames, size).abs().square()  # (T, size / 2 + 1)
    energy = (power @ _triangles(rate, size, bands).to(sound).T).clamp(min=1e-10).log()  # (T, bands)
    coefficients: Tensor = energy @ _cosines(bands, count).to(sound).T
    return coefficients


def _triangles(rate: int, size: int, bands: int) -> Tensor:
    """Returns filters (bands, size / 2 + 1) that rise from the center of the band below and fall to that above."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)  # Hz
    pitch = torch.arange(size // 2 + 1) * (rate / size)
    low, center, high = (corners[i : i + bands, None] for i in range(3))
    return torch.minimum((pitch - low) / (center - low), (high - pitch) / (high - center)).clamp(min=0)


def _cosines(bands: int, count: int) -> Tensor:
    """Returns the orthonormal DCT-II, (count, bands)."""
    angle: Tensor = torch.pi / bands * (torch.arange(bands) + 0.5) * torch.arange(count)[:, None]
    rows: Tensor = (2 / bands) ** 0.5 * angle.cos()
    rows[0] /= 2**0.5
    return rows
