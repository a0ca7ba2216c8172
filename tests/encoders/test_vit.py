import pytest
import torch

from mmcontrast.encoders import PatchGrid, TimmEncoder, TinyConv, ViT
from mmcontrast.encoders.heads import GlobalBatchNorm, PrototypeHead, mlp
from mmcontrast.encoders.vit import encode_tokens, require_tokens
from mmcontrast.errors import InputError


@pytest.fixture(scope="module")
def vit() -> ViT:
    torch.manual_seed(0)
    return ViT(image_size=16, patch_size=4, dim=16, depth=2, heads=2, registers=1).eval()


def test_outputs_at_any_size(vit: ViT):
    image = torch.rand(2, 3, 16, 24)
    assert vit(image).shape == (2, 16)
    assert vit.grid(image).shape == (2, 16, 4, 6)
    assert vit.grid(torch.rand(1, 3, 10, 9)).shape == (1, 16, 3, 3)
    assert vit.layer_ids()["net.blocks.1.attn.qkv.weight"] == 2


def test_all_tokens_are_those_of_the_network(vit: ViT):
    image = torch.rand(2, 3, 16, 16)
    prefix, patches = encode_tokens(vit, image)
    assert (prefix.shape, patches.shape) == ((2, 2, 16), (2, 16, 16))
    torch.testing.assert_close(torch.cat([prefix, patches], 1), vit.net.forward_features(vit.normalize(image)))
    torch.testing.assert_close(prefix[:, 0], vit(image))


def test_visible_tokens_keep_their_positions_and_never_see_the_others(vit: ViT):
    image, keep = torch.rand(2, 3, 16, 16), torch.tensor([[0, 5, 6], [3, 9, 15]])
    _, few = encode_tokens(vit, image, keep=keep)
    hidden = torch.ones(2, 16, dtype=torch.bool).scatter(1, keep, False).view(2, 1, 4, 4)
    blotted = torch.where(hidden.repeat_interleave(4, 2).repeat_interleave(4, 3), torch.rand(()), image)
    torch.testing.assert_close(encode_tokens(vit, blotted, keep=keep)[1], few)
    everything = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(encode_tokens(vit, image, keep=everything)[1], encode_tokens(vit, image)[1])


def test_a_mask_token_stands_in_for_hidden_patches(vit: ViT):
    image, hidden = torch.rand(1, 3, 16, 16), torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, 6] = True
    token = torch.randn(16, requires_grad=True)
    out = encode_tokens(vit, image, hidden=hidden, mask_token=token)[1]
    image[:, :, 4:8, 8:12] = 0
    torch.testing.assert_close(encode_tokens(vit, image, hidden=hidden, mask_token=token)[1], out)
    out.sum().backward()
    assert token.grad.abs().sum() > 0


def test_fixed_positions_are_not_trained():
    vit = ViT(image_size=16, patch_size=4, dim=16, depth=1, heads=2, positions="sincos", pooling="mean")
    assert not vit.net.pos_embed.requires_grad
    assert vit(torch.rand(2, 3, 24, 24)).shape == (2, 16)


def test_timm_transformers_serve_and_others_do_not():
    encoder = TimmEncoder("test_vit", image_size=32)
    assert require_tokens(encoder, "MAE") is encoder
    _, patches = encode_tokens(encoder, torch.rand(1, 3, 32, 32), keep=torch.tensor([[1, 2]]))
    assert patches.shape == (1, 2, encoder.dim)
    with pytest.raises(InputError, match="MAE works on the tokens"):
        require_tokens(TinyConv(), "MAE")
    with pytest.raises(InputError, match="multiple"):
        ViT(image_size=30)


def test_patches_are_encoded_one_by_one():
    inner = TinyConv(dim=5)
    encoder = PatchGrid(inner, patch=8, step=4, image_size=16)
    image = torch.rand(2, 3, 16, 20)
    grid = encoder.grid(image)
    assert grid.shape == (2, 5, 3, 4)
    torch.testing.assert_close(grid[1, :, 2, 1], inner(image[1:, :, 8:16, 4:12])[0])
    torch.testing.assert_close(encoder(image), grid.mean((2, 3)))
    with pytest.raises(InputError, match="smaller than a patch"):
        encoder.grid(torch.rand(1, 3, 4, 20))
    with pytest.raises(InputError, match="do not fit"):
        PatchGrid(inner, patch=64, image_size=32)


def test_batch_norm_of_one_rank_is_the_ordinary_one_and_refuses_one_sample():
    norm, plain = GlobalBatchNorm(4), torch.nn.BatchNorm1d(4)
    x = torch.randn(6, 4)
    torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm.running_var, plain.running_var)
    with pytest.raises(InputError, match="at least 2 samples"):
        norm(x[:1])
    assert norm.eval()(x[:1]).shape == (1, 4)


def test_heads_end_as_asked():
    torch.manual_seed(0)
    x = torch.randn(64, 6)
    out = mlp(6, 8, 4, norm=True, final_norm=True)(x)
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(0, correction=0), torch.ones(4), atol=1e-2, rtol=0)
    assert [type(m).__name__ for m in mlp(6, 8, 4)] == ["Linear", "ReLU", "Linear"]


def test_prototypes_give_cosines():
    head = PrototypeHead(6, prototypes=5, hidden=8, bottleneck=4)
    cosines = head(torch.randn(3, 6))
    assert cosines.shape == (3, 5)
    assert cosines.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize(("kind", "patch_std", "cls_std"), [("mae", 0.0417, 0.02), ("moco_v3", 0.0417, 1e-6)])
def test_initialization_of_the_papers(kind: str, patch_std: float, cls_std: float):
    torch.manual_seed(0)
    net = ViT(depth=1, initialization=kind, positions="sincos").net  # ViT-S/16
    assert net.patch_embed.proj.weight.std().item() == pytest.approx(patch_std, rel=0.01)
    assert net.cls_token.std().item() == pytest.approx(cls_std, rel=0.15)
    fan = 2 * 384 if kind == "moco_v3" else 4 * 384  # xavier over one matrix of qkv, or over the three joined
    assert net.blocks[0].attn.qkv.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.01)
    assert net.blocks[0].mlp.fc1.weight.std().item() == pytest.approx((2 / (5 * 384)) ** 0.5, rel=0.01)
    assert not net.blocks[0].mlp.fc1.bias.any()
    assert net.blocks[0].norm1.weight.eq(1).all()
