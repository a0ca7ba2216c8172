import numpy as np
import pytest
import torch
from PIL import Image

from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.datasets.toy_scene import ToyScene, camera_around
from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders import LabPatches, TinyConv
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.dense import true_matches
from mmcontrast.methods import DenseObjectNet
from mmcontrast.predict.match import DescriptorMatcher


class Colors(Encoder):
    """The image itself, as descriptors of stride 1."""

    def __init__(self):
        super().__init__()
        self.dim, self.stride, self.calls = 3, 1, 0

    def grid(self, image):
        self.calls += 1
        return image


def hues(shift=0):
    """Every pixel its own color, moved right by some pixels: an image that colors match exactly."""
    y, x = np.mgrid[:40, :56]
    image = np.stack([(x - shift) * 4 % 256, y * 6, np.full_like(x, 128)], -1)
    return image.astype(np.uint8)


def test_a_shifted_image_is_matched_to_the_pixel():
    match = DescriptorMatcher(Colors(), subpixel=False)
    match.set_reference(hues())
    (matches,) = match(hues(5), at=[(10, 20), (30, 0), (0, 39)])
    assert matches.xy.tolist() == [[15, 20], [35, 0], [5, 39]]
    assert matches.distance.max() < 1e-3


def test_all_kinds_of_images_give_the_same(tmp_path):
    Image.fromarray(hues()).save(tmp_path / "a.png")
    match = DescriptorMatcher(Colors())
    from_array = match.describe(hues())
    assert from_array.shape == (3, 40, 56)
    for kind in (tmp_path / "a.png", Image.fromarray(hues()), torch.from_numpy(hues()).permute(2, 0, 1)):
        assert torch.equal(match.describe(kind), from_array)


def test_the_heat_map_is_one_where_the_match_is():
    match = DescriptorMatcher(Colors(), subpixel=False)
    match.set_reference(hues())
    heat = match.heatmap(hues(5), at=(10, 20))
    assert heat.shape == (40, 56)
    assert heat.argmax() == 20 * 56 + 15
    assert heat.max() == 1
    assert heat.min() > 0


def test_further_points_of_a_pair_run_the_network_once():
    net = Colors()
    match = DescriptorMatcher(net)
    match.set_reference(hues())
    for point in ((1, 2), (3, 4)):
        match(hues(5), at=[point])
        match.heatmap(hues(5), at=point)
    assert net.calls == 2
    match(hues(6), at=[(1, 2)])
    assert net.calls == 3


def test_what_looks_alike_elsewhere_is_not_confident():
    unique, twin = np.zeros((2, 40, 56, 3), np.uint8)
    unique[:, :, 0], twin[:, :, 0] = 100, 100
    for image, places in ((unique, [10]), (twin, [10, 40])):
        for x in places:
            image[19:22, x - 1 : x + 2] = (20, 200, 20)
    match = DescriptorMatcher(Colors())
    match.set_reference(unique)
    assert match.find(unique, [(10, 20)]).confidence > 0.99
    match.set_reference(twin)
    noisy = twin.copy()
    noisy[19:22, 39:42] = (21, 199, 21)
    assert match.find(noisy, [(40, 20)]).confidence < 0.2


def test_a_image_of_one_pixel_is_never_a_confident_match():
    match = DescriptorMatcher(Colors())
    match.set_reference(hues())
    found = match.find(hues()[:1, :1], [(10, 20)])
    assert found.xy.tolist() == [[0, 0]]
    assert found.confidence.tolist() == [0]


def test_subpixel_places_beat_whole_pixels():
    scene = ToyScene(1, objects=0)
    a, b = (scene.view(camera_around(t, elevation=1.4), (120, 160)) for t in (0.0, 0.02))
    errors = {}

    ones = np.ones(a.depth.shape, np.uint8)
    a, b = (type(v)(v.color, v.depth, ones, v.intrinsics, v.pose) for v in (a, b))
    xy_a, xy_b = true_matches(FindMatches(60, attempts=600), a, b, 0.001, SampleKey(0))
    for subpixel in (False, True):
        match = DescriptorMatcher(LabPatches(4), subpixel=subpixel)
        match.set_reference(a.color)
        found = match.find(b.color, xy_a.numpy()).xy
        errors[subpixel] = (found - xy_b).norm(dim=1).median().item()
    assert errors[True] < errors[False]


def test_mutual_neighbors_of_a_shifted_image():
    match = DescriptorMatcher(Colors())
    match.set_reference(hues())
    pairs = match.mutual(hues(8), step=4)
    a, b, distance = pairs.reference_xy, pairs.xy, pairs.distance
    assert len(a) > 100
    assert (distance.diff() >= 0).all()
    near = distance < 1e-3
    assert near.sum() > 100
    assert ((b - a)[near] == torch.tensor([8.0, 0.0])).all()


def test_mutual_neighbors_of_a_image_smaller_than_the_step():
    match = DescriptorMatcher(Colors())
    match.set_reference(hues())
    pairs = match.mutual(hues()[20:21, 30:31], step=8)
    assert len(pairs.reference_xy) == len(pairs.xy) == len(pairs.distance) == 1
    assert pairs.xy.tolist() == [[0, 0]]
    with pytest.raises(InputError, match="step is 0"):
        match.mutual(hues(), step=0)


@pytest.mark.parametrize("at", [[(1, 2, 3), (4, 5, 6)], [1, 2, 3], [("left", "top")], [[(1, 2)]], [(1, 2), (3,)]])
def test_points_that_are_no_pairs_are_refused(at):
    match = DescriptorMatcher(Colors())
    match.set_reference(hues())
    with pytest.raises(InputError, match="wanted pairs of pixels"):
        match(hues(), at=at)


def test_a_method_describes_by_its_own_descriptors():
    torch.manual_seed(0)
    method = DenseObjectNet(TinyConv(dim=8), dim=5)
    match = DescriptorMatcher(method)
    image = hues()
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(match.describe(image), method.describe(tensor)[0].detach())
    assert DescriptorMatcher(method, resolution=80).describe(image).shape == (5, 40, 56)


def test_mistakes_are_explained():
    match = DescriptorMatcher(Colors())
    with pytest.raises(InputError, match="no reference image"):
        match(hues(), at=[(1, 1)])
    match.set_reference(hues())
    with pytest.raises(InputError, match=r"point \(56, 3\) lies outside the reference, which has 56 x 40"):
        match(hues(), at=[(2, 2), (56, 3)])
