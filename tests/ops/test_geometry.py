import math

import pytest
import torch

from mmcontrast.ops.geometry import (
    apply_homography,
    homography_from_corners,
    inside,
    pixel_grid,
    pixel_index,
    project,
    relative_motion,
    reproject,
    sample,
    take,
    thin_plate,
    unproject,
)

K = torch.tensor([[[100.0, 0, 31.5], [0, 110, 23.5], [0, 0, 1]]])


def turn_about_y(angle, position):
    c, s = math.cos(angle), math.sin(angle)
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    pose[:3, 3] = torch.tensor(position)
    return pose


def test_project_undoes_unproject():
    xy, depth = torch.rand(1, 50, 2) * 60, torch.rand(1, 50) + 0.5
    back, z = project(unproject(xy, depth, K), K)
    torch.testing.assert_close(back, xy)
    torch.testing.assert_close(z, depth)


def test_the_principal_point_looks_along_z():
    point = unproject(torch.tensor([[[31.5, 23.5]]]), torch.tensor([[2.0]]), K)
    torch.testing.assert_close(point, torch.tensor([[[0.0, 0, 2]]]))


def test_reproject_by_hand():
    # Camera b stands 0.5 m to the right of a: a point 2 m ahead moves left by 100 * 0.5 / 2 pixels.
    motion = relative_motion(torch.eye(4), turn_about_y(0, [0.5, 0, 0]))[None]
    xy, depth = reproject(torch.tensor([[[40.0, 10.0]]]), torch.tensor([[2.0]]), K, motion, K)
    torch.testing.assert_close(xy, torch.tensor([[[15.0, 10.0]]]))
    torch.testing.assert_close(depth, torch.tensor([[2.0]]))


def test_reproject_there_and_back():
    a, b = turn_about_y(0.1, [0, 0.1, 0]), turn_about_y(-0.2, [0.3, 0, 0.1])
    xy, depth = torch.rand(1, 30, 2) * 60, torch.rand(1, 30) + 1
    there, depth_b = reproject(xy, depth, K, relative_motion(a, b)[None], K * 1.0)
    back, depth_a = reproject(there, depth_b, K, relative_motion(b, a)[None], K)
    torch.testing.assert_close(back, xy, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(depth_a, depth)


def test_a_motion_per_point_equals_one_motion_per_image():
    motion = relative_motion(torch.eye(4), turn_about_y(0.3, [0.2, 0, 0]))[None]
    xy, depth = torch.rand(1, 9, 2) * 60, torch.rand(1, 9) + 1
    one = reproject(xy, depth, K, motion, K)
    many = reproject(xy, depth, K, motion[:, None].expand(-1, 9, -1, -1), K)
    torch.testing.assert_close(one, many)


def test_no_depth_and_points_behind_the_camera_have_no_pixel():
    xy, depth = torch.full((1, 2, 2), 30.0), torch.tensor([[0.0, 1.0]])
    backwards = turn_about_y(math.pi, [0, 0, 0])[None]
    assert reproject(xy, depth, K, torch.eye(4)[None], K)[0].isnan().tolist() == [[[True, True], [False, False]]]
    there, _ = reproject(xy, depth, K, backwards, K)
    assert there.isnan().all()
    assert not inside(there, 48, 64).any()


def test_inside_holds_the_whole_area_of_border_pixels():
    xy = torch.tensor([[-0.5, 0], [-0.51, 0], [63.4, 47.4], [63.5, 0], [0, 47.5], [math.nan, 0]])
    assert inside(xy, 48, 64).tolist() == [True, False, True, False, False, False]
    assert pixel_index(xy[:3], 48, 64).tolist() == [0, 0, 64 * 48 - 1]


def test_sampling_at_integers_is_indexing_also_in_the_first_row_and_column():
    image = torch.rand(2, 3, 5, 7)
    grid = pixel_grid(5, 7).expand(2, -1, -1)
    flat = image.flatten(2).mT
    torch.testing.assert_close(sample(image, grid), flat)
    torch.testing.assert_close(take(image, pixel_index(grid, 5, 7)), flat)


def test_sampling_between_pixels_is_bilinear():
    image = torch.tensor([[0.0, 1], [2, 3]]).view(1, 1, 2, 2)
    xy = torch.tensor([[[0.5, 0.5], [0.25, 0], [-3, 0], [1, 9]]])
    torch.testing.assert_close(sample(image, xy)[0, :, 0], torch.tensor([1.5, 0.25, 0, 3]))


def test_a_half_precision_image_is_sampled_at_exact_positions():
    image = torch.arange(640.0).half().view(1, 1, 1, 640)
    torch.testing.assert_close(sample(image, torch.tensor([[[601.25, 0.0]]])), torch.tensor([[[601.25]]]))


def test_the_homography_of_corners_takes_corners_there():
    corners = torch.tensor([[[2.0, 1], [60, 3], [50, 45], [-4, 40]]])
    homography = homography_from_corners(corners, 48, 64)
    source = torch.tensor([[[0.0, 0], [63, 0], [63, 47], [0, 47]]])
    torch.testing.assert_close(apply_homography(homography, source), corners, rtol=1e-4, atol=1e-3)
    center = apply_homography(homography, torch.tensor([[[31.5, 23.5]]]))
    back = apply_homography(torch.linalg.inv(homography), center)
    torch.testing.assert_close(back, torch.tensor([[[31.5, 23.5]]]), rtol=1e-4, atol=1e-3)


def test_beyond_the_horizon_there_is_no_pixel():
    homography = torch.eye(3)[None].clone()
    homography[0, 2, 0] = -0.1
    xy = apply_homography(homography, torch.tensor([[[5.0, 0], [20, 0]]]))
    assert xy.isnan().any(-1).tolist() == [[False, True]]


@pytest.mark.parametrize("count", [4, 9])
def test_thin_plate_meets_its_targets_and_keeps_affine_maps(count):
    g = torch.Generator().manual_seed(count)
    control = torch.rand(2, count, 2, generator=g) * 300
    target = control + torch.randn(2, count, 2, generator=g) * 10
    torch.testing.assert_close(thin_plate(control, target, control), target, rtol=1e-4, atol=0.02)
    affine = torch.tensor([[0.9, 0.2], [-0.1, 1.1]])
    xy = torch.rand(2, 20, 2, generator=g) * 300
    torch.testing.assert_close(thin_plate(control, control @ affine + 5, xy), xy @ affine + 5, rtol=1e-4, atol=0.02)
