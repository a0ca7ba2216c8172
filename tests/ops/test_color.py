import cv2
import numpy as np
import pytest
import torch

from mmcontrast.ops.color import kmeans, lab_to_rgb, nearest_center, rgb_to_lab


def test_lab_equals_opencv_in_float():
    rgb = np.random.default_rng(0).random((32, 48, 3), dtype=np.float32)
    wanted = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)
    got = rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1)).permute(1, 2, 0)
    assert np.abs(got.numpy() - wanted).max() < 0.6  # OpenCV interpolates a table


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colors(rgb, lab):
    got = rgb_to_lab(torch.tensor(rgb, dtype=torch.float64).view(3, 1, 1)).flatten()
    assert torch.allclose(got, torch.tensor(lab, dtype=torch.float64), atol=0.02)


def test_round_trip_and_finite_gradient_at_black():
    rgb = torch.rand(2, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rgb[0, :, 0, 0] = 0
    rgb.requires_grad_()
    lab = rgb_to_lab(rgb)
    assert torch.allclose(lab_to_rgb(lab), rgb, atol=1e-6)
    lab.sum().backward()
    assert rgb.grad.isfinite().all()


def test_kmeans_finds_separate_clusters_largest_first():
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 80.0]])
    sizes = (200, 500, 300)
    points = torch.cat([c + torch.randn(n, 2, generator=generator) for c, n in zip(truth, sizes, strict=True)])
    centers = kmeans(points, 3)
    assert torch.allclose(centers, truth[[1, 2, 0]], atol=0.3)
    assert torch.equal(centers, kmeans(points, 3))


def test_nearest_center_is_the_nearest():
    generator = torch.Generator().manual_seed(1)
    ab, centers = torch.randn(2, 2, 5, 6, generator=generator) * 50, torch.randn(7, 2, generator=generator) * 50
    wanted = torch.cdist(ab.permute(0, 2, 3, 1).reshape(-1, 2), centers).argmin(1).view(2, 5, 6)
    assert torch.equal(nearest_center(ab, centers), wanted)
