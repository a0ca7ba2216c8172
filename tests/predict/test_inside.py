import numpy as np
import pytest
import torch

from mmcontrast.encoders.vit import ViT
from mmcontrast.errors import InputError
from mmcontrast.methods.mae import MAE
from mmcontrast.predict import look_inside as inside


@pytest.fixture(scope="module")
def mae() -> MAE:
    torch.manual_seed(0)
    vit = ViT(image_size=64, patch_size=8, dim=48, depth=2, heads=3, positions="sincos")
    return MAE(vit, decoder_dim=48, decoder_depth=1, decoder_heads=3).eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, (80, 120, 3), dtype=np.uint8)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_the_share_of_hidden_patches_is_the_one_asked_for(mae, image, share):
    (seen, _), (painted, _) = inside.hidden_patches(mae, image, share, sample_key=3)
    gray = (seen == 128).all(-1)
    assert gray.mean() == pytest.approx(share, abs=1 / 64)
    assert (painted[~gray] == seen[~gray]).all()
    assert (painted[gray] != seen[gray]).any()
    assert mae.mask_ratio == 0.75


def test_another_key_hides_other_patches(mae, image):
    hidden = [(inside.hidden_patches(mae, image, 0.5, key)[0][0] == 128).all(-1) for key in (1, 2)]
    assert 0.2 < (hidden[0] != hidden[1]).mean() < 0.8


def test_each_head_has_a_map(mae, image):
    shown = inside.attention(mae, image)
    assert [caption for _, caption in shown] == ["all heads", "head 1", "head 2", "head 3"]
    assert all(part.ndim == 3 and part.dtype == np.uint8 for part, _ in shown)


def test_patch_colors_and_activations(mae, image):
    assert [part.shape[2] for part, _ in inside.patch_colors(mae, image)] == [3, 3]
    assert [caption for _, caption in inside.activations(mae, image)] == ["block 1", "block 2"]


def test_models_that_cannot_say_so(mae, image):
    with pytest.raises(InputError, match="trained by Colorization"):
        inside.colors(mae.encoder, image)
    with pytest.raises(InputError, match="trained by MAE"):
        inside.hidden_patches(mae.encoder, image, 0.5, 0)
    with pytest.raises(InputError, match="no puzzle"):
        inside.puzzle(mae.encoder, image, 0)
    with pytest.raises(InputError, match="between 0 and 1"):
        inside.hidden_patches(mae, image, 1.5, 0)
