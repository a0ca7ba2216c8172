import pytest
import timm
import torch
from safetensors.torch import save_file

from mmcontrast.encoders import TimmEncoder
from mmcontrast.errors import InputError


def test_pooled_output_is_timms_own_on_its_own_normalization():
    torch.manual_seed(0)
    encoder = TimmEncoder("vit_tiny_patch16_224", image_size=32).eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = encoder.net((image - 0.5) / 0.5)
        assert torch.equal(encoder(image), expected)
    assert encoder(image).shape == (2, encoder.dim)
    assert encoder.image_size == 32


@pytest.mark.parametrize(
    ("name", "stride"), [("resnet18", 32), ("tf_efficientnet_lite0", 32), ("vit_tiny_patch16_224", 16)]
)
def test_grid_covers_images_of_odd_size(name, stride):
    encoder = TimmEncoder(name, image_size=64).eval()
    with torch.no_grad():
        grid = encoder.grid(torch.rand(1, 3, 65, 90))
    assert encoder.stride == stride
    assert grid.shape == (1, encoder.dim, -(-65 // stride), -(-90 // stride))


def test_grid_leaves_all_prefix_tokens_out():
    encoder = TimmEncoder("vit_small_patch16_dinov3", image_size=32).eval()
    assert encoder.net.num_prefix_tokens == 5
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        tokens = encoder.net.forward_features(encoder.normalize(image))
        grid = encoder.grid(image)
    assert torch.equal(grid.flatten(2).mT, tokens[:, 5:])
    assert grid.shape[-2:] == (2, 3)


def test_both_outputs_have_one_width_where_timms_head_is_wider():
    encoder = TimmEncoder("mobilenetv3_small_050").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder(image), encoder.grid(image).mean((2, 3)))


def test_channels_last_network_gives_channels_first_grid():
    encoder = TimmEncoder("swin_tiny_patch4_window7_224").eval()
    with torch.no_grad():
        assert encoder.grid(torch.rand(1, 3, 224, 224)).shape == (1, 768, 7, 7)


def test_levels_are_unit_and_joined_at_the_finest():
    encoder = TimmEncoder("resnet18", levels=(8, 16)).eval()
    with torch.no_grad():
        grid = encoder.grid(torch.rand(1, 3, 64, 96))
    assert (encoder.stride, encoder.dim) == (8, 128 + 256)
    assert grid.shape == (1, 384, 8, 12)
    assert torch.allclose(grid[:, :128].norm(dim=1), torch.ones(1, 8, 12), atol=1e-5)
    assert encoder(torch.rand(1, 3, 64, 64)).shape == (1, 384)
    with pytest.raises(InputError, match=r"no features of stride \[5\]; it has \[2, 4, 8, 16, 32\]"):
        TimmEncoder("resnet18", levels=(5,))


def test_stride_channels_and_stem_can_be_chosen():
    dilated = TimmEncoder("resnet18", output_stride=8, in_channels=1).eval()
    assert dilated.stride == 8
    with torch.no_grad():
        assert dilated.grid(torch.rand(1, 1, 64, 64)).shape == (1, 512, 8, 8)
    small = TimmEncoder("resnet18", cifar_stem=True).eval()
    assert small.stride == 8
    with torch.no_grad():
        assert small.grid(torch.rand(1, 3, 32, 32)).shape == (1, 512, 4, 4)
    with pytest.raises(InputError, match="cifar_stem"):
        TimmEncoder("vit_tiny_patch16_224", cifar_stem=True)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_patches_are_dropped_in_training_only(name):
    encoder = TimmEncoder(name, image_size=64)
    encoder.drop_patches(0.5)
    seen = []
    encoder.net.blocks[0].register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    image = torch.rand(2, 3, 64, 64)
    encoder.train()(image)
    encoder.eval()(image)
    prefix = encoder.net.num_prefix_tokens
    assert seen == [prefix + 8, prefix + 16]
    with pytest.raises(InputError, match="vision transformers"):
        TimmEncoder("resnet18").drop_patches(0.5)


def test_weights_come_from_a_file_and_fit_size_and_channels(tmp_path):
    torch.manual_seed(0)
    source = timm.create_model("vit_tiny_patch16_224", img_size=64)
    save_file(source.state_dict(), tmp_path / "vit.safetensors")
    encoder = TimmEncoder("vit_tiny_patch16_224", weights=tmp_path / "vit.safetensors", image_size=32)
    assert torch.equal(encoder.net.blocks[3].mlp.fc1.weight, source.blocks[3].mlp.fc1.weight)
    assert encoder.net.pos_embed.shape == (1, 1 + 4, 192)
    source = timm.create_model("resnet18")
    torch.save(source.state_dict(), tmp_path / "resnet.pth")
    gray = TimmEncoder("resnet18", weights=tmp_path / "resnet.pth", in_channels=1)
    assert torch.allclose(gray.net.conv1.weight, source.conv1.weight.sum(1, keepdim=True))
    with pytest.raises(InputError, match="does not hold the weights of timm's 'resnet34'"):
        TimmEncoder("resnet34", weights=tmp_path / "resnet.pth")
    with pytest.raises(InputError, match="No weights at"):
        TimmEncoder("resnet18", weights=tmp_path / "none.pth")


def test_layers_count_from_the_image():
    ids = TimmEncoder("vit_tiny_patch16_224", image_size=32).layer_ids()
    assert ids["net.patch_embed.proj.weight"] == 0
    assert ids["net.blocks.0.attn.qkv.weight"] == 1
    assert ids["net.blocks.11.attn.qkv.weight"] == 12
    assert ids["net.norm.weight"] == max(ids.values())
    encoder = TimmEncoder("tf_efficientnet_lite0")
    assert encoder.layer_ids().keys() == dict(encoder.named_parameters()).keys()


def test_unknown_name_is_refused_with_a_hint():
    with pytest.raises(InputError, match=r"no model 'resnet18000'.*resnet"):
        TimmEncoder("resnet18000")


def test_a_coarse_network_shows_its_finer_levels():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 96)
    coarse = TimmEncoder("resnet18").eval()
    fine = coarse.for_dense_tasks().eval()
    assert (coarse.stride, fine.stride, fine.dim) == (32, 8, 128 + 256)
    blocks = coarse.blocks(image)
    at_8 = torch.nn.functional.normalize(next(b for b in blocks if b.shape[2:] == (8, 12)), dim=1)
    assert torch.allclose(fine.grid(image)[:, :128], at_8, atol=1e-5)
    assert fine.for_dense_tasks() is fine
    vit = TimmEncoder("vit_tiny_patch16_224", image_size=32)
    assert vit.for_dense_tasks() is vit


FAMILIES = [
    *("test_convnext", "test_mambaout", "test_maxvit", "test_vit_relpos", "test_nfnet", "test_byobnet"),
    *("pit_ti_224", "levit_128s", "efficientvim_m1", "convit_tiny"),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_grid_at_any_size(name):
    torch.manual_seed(0)
    encoder = TimmEncoder(name).eval()
    size = encoder.image_size
    with torch.no_grad():
        for height, width in ((size, size), (65, 90)):
            grid = encoder.grid(torch.rand(1, 3, height, width))
            assert grid.shape == (1, encoder.dim, -(-height // encoder.stride), -(-width // encoder.stride))
            assert grid.isfinite().all()
        image = torch.rand(1, 3, size, size)
        assert encoder(image).shape == (1, encoder.dim)
        x = encoder.normalize(image)
        last = encoder.net.forward_intermediates(x, indices=1, norm=encoder.tokens, intermediates_only=True)[-1]
        grid = encoder.grid(image)
    if name not in (
        "test_mambaout",
        "test_byobnet",
        "test_nfnet",
        "test_maxvit",
    ):  # they end in a norm that is no part of a stage
        torch.testing.assert_close(grid, last, atol=1e-5, rtol=1e-5)
    assert grid.shape == last.shape


def test_a_network_of_one_size_sees_other_images_resized():
    encoder = TimmEncoder("convit_tiny").eval()
    image = torch.rand(1, 3, 448, 112)
    resized = torch.nn.functional.interpolate(encoder.normalize(image), (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = encoder.net.forward_intermediates(resized, indices=1, norm=True, intermediates_only=True)[-1]
        expected = torch.nn.functional.interpolate(expected, (28, 7), mode="bilinear")
        torch.testing.assert_close(encoder.grid(image), expected)
