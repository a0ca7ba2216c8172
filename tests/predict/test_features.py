import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from torch.testing import assert_close

from mmcontrast.encoders import TimmEncoder, TinyConv
from mmcontrast.encoders.pixels import RawPixels
from mmcontrast.errors import InputError
from mmcontrast.predict.features import FeatureExtractor
from mmcontrast.viz.feature_maps import beside, color_maps, stack, tsne
from mmcontrast.viz.patch_pca import PatchPCA, components, otsu


@pytest.fixture(scope="module")
def objects():
    """Grids with an object of varying features in the middle of an even background, (8, 10, 6) each."""
    random = torch.Generator().manual_seed(0)
    grids = []
    for _ in range(3):
        grid = 0.05 * torch.randn(8, 10, 6, generator=random) + torch.tensor([1.0, 0, 0, 0, 0, 0])
        grid[2:6, 3:8] = torch.tensor([-1.0, 0, 0, 0, 0, 0]) + 0.4 * torch.randn(4, 5, 6, generator=random)
        grids.append(grid)
    return grids


def test_vectors_are_the_encoders(tmp_path):
    torch.manual_seed(0)
    encoder = TinyConv(8)
    see = FeatureExtractor(encoder, device="cpu", batch_size=2)
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    assert_close(see.pooled(images), encoder(images.float() / 255).detach())
    assert see.pooled([]).shape == (0, 8)
    with pytest.raises(InputError, match="no such file"):
        see(tmp_path / "none.png")


def test_patches_keep_the_aspect_ratio():
    see = FeatureExtractor(RawPixels(stride=4), device="cpu", resolution=32)
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8).numpy()
    grid = see.grid(image)
    assert grid.shape == (8, 12, 48)
    assert_close(grid.norm(dim=2), torch.ones(8, 12))


def test_attention_is_seen_at_the_same_resolution():
    torch.manual_seed(0)
    see = FeatureExtractor(TimmEncoder("test_vit"), device="cpu", resolution=64)
    maps = see.attention(np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8))
    assert maps.shape == (2, 4, 6)
    assert (maps.sum((1, 2)) < 1).all()
    colored = color_maps(torch.cat([maps.mean(0, keepdim=True), maps]))
    assert [part.shape for part in colored] == [(4, 6, 3)] * 3
    brightest = np.unravel_index(colored[1].astype(int).sum(2).argmax(), (4, 6))
    assert maps[0][brightest] == maps[0].max()
    with pytest.raises(InputError, match="has no attention"):
        FeatureExtractor(TinyConv(8), device="cpu").attention(np.zeros((9, 9, 3), np.uint8))


def test_components_as_scikit_learn_finds_them():
    random = torch.Generator().manual_seed(0)
    data = torch.randn(200, 7, generator=random) @ torch.randn(7, 7, generator=random)
    found = components(data, 3)
    expected = PCA(3, whiten=True).fit(data.numpy())
    signs = np.sign((found.basis.T.numpy() * expected.components_).sum(1))
    assert_close(found.basis.T, torch.from_numpy(expected.components_ * signs[:, None]), atol=1e-4, rtol=1e-3)
    whitened = expected.transform(data.numpy()) * signs * np.sqrt(200 / 199)
    assert_close(found(data), torch.from_numpy(whitened).float(), atol=1e-3, rtol=1e-3)
    assert (found.basis.gather(0, found.basis.abs().argmax(0, keepdim=True)) > 0).all()


def test_otsu_parts_two_groups():
    values = torch.tensor([0.0, 0.1, 0.2, 5.0, 5.1, 0.15])
    assert 0.2 < otsu(values) < 5


@pytest.mark.parametrize("sign", [1, -1])
def test_the_object_is_the_foreground_whatever_the_sign(objects, sign):
    grids = [sign * grid for grid in objects]
    pca = PatchPCA(grids)
    expected = torch.zeros(8, 10, dtype=torch.bool)
    expected[2:6, 3:8] = True
    for grid in grids:
        assert torch.equal(pca.mask(grid), expected)
        colors = pca(grid)
        assert colors.shape == (8, 10, 3)
        assert not colors[~expected].any()
        assert 0 < colors[expected].min() <= colors[expected].max() < 1
    inside = torch.cat([pca.colors(grid[expected]) for grid in grids])
    assert_close(inside.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert_close(inside.std(0, correction=0), torch.ones(3))


def test_one_basis_for_all_images(objects):
    """The same patch has the same color in any image, and without the choice of a foreground all have colors."""
    pca = PatchPCA(objects)
    other = objects[0].clone()
    other[0] = objects[1][3]
    assert_close(pca(other)[0], pca(objects[1])[3])
    assert PatchPCA(objects, "all")(objects[0]).min() > 0
    with pytest.raises(InputError, match="region 'sky'"):
        PatchPCA(objects, "sky")
    with pytest.raises(InputError, match="three colors need"):
        PatchPCA([objects[0][:1, :2]])


def test_panels_in_rows():
    photo = np.full((20, 40, 3), 7, np.uint8)
    sheet = beside(photo, [np.full((2, 4, 3), i, np.uint8) for i in range(4)], height=10, columns=3)
    assert sheet.shape == (24, 68, 3)
    assert [sheet[5, 10, 0], sheet[5, 30, 0], sheet[19, 10, 0], sheet[19, 60, 0]] == [7, 0, 2, 255]
    assert stack([sheet, sheet[:, :30]]).shape == (52, 68, 3)


def test_a_map_keeps_groups_together():
    random = torch.Generator().manual_seed(0)
    centers = torch.eye(3).repeat_interleave(8, 0)
    places = tsne(centers + 0.02 * torch.randn(24, 3, generator=random))
    assert places.shape == (24, 2)
    middles = places.reshape(3, 8, 2).mean(1)
    inside = np.linalg.norm(places.reshape(3, 8, 2) - middles[:, None], axis=2).max()
    between = min(np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert inside < between


def test_a_image_of_one_pixel_is_seen():
    assert FeatureExtractor(TinyConv(8), device="cpu").pooled(Image.new("RGB", (1, 1))).shape == (1, 8)
