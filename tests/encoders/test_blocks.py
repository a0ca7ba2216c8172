import pytest
import torch
from torch.testing import assert_close

from mmcontrast.encoders import NIN, ResNet, TimmEncoder, TinyConv
from mmcontrast.errors import InputError


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, 70, 100, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("resnet18", [64, 64, 128, 256, 512]),
        ("test_efficientnet", [16, 24, 32, 48, 64, 256]),
        ("test_vit", [64] * 6),
    ],
)
def test_the_last_block_is_the_grid(name, widths, image):
    torch.manual_seed(0)
    encoder = TimmEncoder(name).eval()
    blocks = encoder.blocks(image)
    assert [block.shape[1] for block in blocks] == widths
    assert_close(blocks[-1], encoder.grid(image))


@torch.inference_mode()
def test_blocks_of_the_tiny_encoder(image):
    encoder = TinyConv(dim=8)
    first, last = encoder.blocks(image)
    assert first.shape == (2, 8, 35, 50)
    assert_close(last, encoder.grid(image))


@torch.inference_mode()
def test_blocks_of_network_in_network(image):
    encoder = NIN(width=12, depth=3).eval()
    blocks = encoder.blocks(image)
    assert [tuple(block.shape[1:]) for block in blocks] == [(6, 35, 50), (12, 18, 25), (12, 18, 25)]
    assert_close(blocks[-1], encoder.grid(image))
    assert_close(encoder(image), blocks[-1].mean((2, 3)))
    assert NIN(width=12, in_channels=1)(image[:, :1]).shape == (2, 12)
    with pytest.raises(InputError, match="depth is 1 and width 12"):
        NIN(width=12, depth=1)


@torch.inference_mode()
def test_blocks_of_the_residual_network(image):
    encoder = ResNet(widths=(4, 8, 8), strides=(2, 2, 1)).eval()
    stem, first, last = encoder.blocks(image)
    assert [tuple(block.shape[1:]) for block in (stem, first, last)] == [(4, 35, 50), (8, 18, 25), (8, 18, 25)]
    assert_close(last, encoder.grid(image))
    assert_close(first, encoder.stages[0].shortcut(stem).relu())  # a block begins as its shortcut
    assert_close(last, first)
    assert (encoder.dim, encoder.stride) == (8, 4)
    assert set(encoder.layer_ids().values()) == {0, 1, 2}
    with pytest.raises(InputError, match="one of each"):
        ResNet(widths=(4, 8), strides=(2, 2, 1))


@torch.inference_mode()
def test_attention_of_the_class_token_by_hand(image):
    torch.manual_seed(0)
    encoder = TimmEncoder("test_vit").eval()
    layer = encoder.net.blocks[-1]
    found = encoder.attention(image)
    assert found.shape == (2, layer.attn.num_heads, 5, 7)
    x = encoder._prepare(image)
    tokens = encoder.net.norm_pre(encoder.net._pos_embed(encoder.net.patch_embed(x)))
    for block in encoder.net.blocks[:-1]:
        tokens = block(tokens)
    q, k, _ = layer.attn.qkv(layer.norm1(tokens)).unflatten(2, (3, layer.attn.num_heads, -1)).unbind(2)
    weights = (torch.einsum("bihd,bjhd->bhij", q, k) * layer.attn.head_dim**-0.5).softmax(-1)
    assert_close(found, weights[:, :, 0, 1:].unflatten(2, (5, 7)))
    assert layer.attn.fused_attn == TimmEncoder("test_vit").net.blocks[-1].attn.fused_attn


@torch.inference_mode()
def test_attention_without_a_class_token_is_of_all_patches(image):
    maps = TimmEncoder("vit_tiny_patch16_224").eval()
    maps.net.cls_token = None
    maps.net.num_prefix_tokens = 0
    maps.net.pos_embed = torch.nn.Parameter(maps.net.pos_embed[:, 1:])
    assert_close(maps.attention(image).sum((2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("encoder", [TinyConv(4), TimmEncoder("resnet18")])
def test_no_attention_in_convolutions(encoder, image):
    with pytest.raises(InputError, match="has no attention to show"):
        encoder.attention(image)
