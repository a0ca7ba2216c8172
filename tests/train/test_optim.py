import pytest
import torch
from torch import Tensor, nn

from mmcontrast.encoders import TimmEncoder, ViT
from mmcontrast.encoders.base import Tower
from mmcontrast.errors import InputError
from mmcontrast.train.optim import build_optimizer, clip_each_gradient, layer_scales, parameter_groups
from tests.train.tiny import train


class Net(Tower):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 3))
        self.patch = nn.Conv2d(3, 3, 1)
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        self.norm = nn.LayerNorm(3)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = Net(), nn.Linear(3, 2)
        self.log_scale = nn.Parameter(torch.zeros(()))


def names_of(model: nn.Module, group: dict) -> set[str]:
    ids = {id(p) for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in ids}


def test_decay_is_for_matrices_only():
    model = Model()
    model.net.patch.weight.requires_grad_(False)
    groups = parameter_groups(model, lr=0.1, weight_decay=0.2)
    decaying, others = sorted(groups, key=lambda g: not g["decays"])
    assert names_of(model, decaying) == {"net.blocks.0.weight", "net.blocks.1.weight", "head.weight"}
    assert decaying["weight_decay"] == 0.2
    assert {"net.pos_embed", "net.norm.weight", "head.bias", "log_scale", "net.patch.bias"} <= names_of(model, others)
    assert others["weight_decay"] == 0.0
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in model.parameters())


def test_layer_scales_fall_from_output_to_input():
    scales = layer_scales(Model(), 0.5)
    assert scales["net.patch.weight"] == scales["net.pos_embed"] == 0.125
    assert scales["net.blocks.0.weight"] == 0.25
    assert scales["net.blocks.1.bias"] == 0.5
    assert scales["net.norm.weight"] == scales["head.weight"] == scales["log_scale"] == 1.0


@pytest.mark.parametrize("encoder", ["own", "timm"])
def test_the_norm_after_the_last_block_is_a_layer_of_its_own(encoder: str):
    """As in the code of BEiT and DINOv2: with 12 blocks, the patch embedding has the exponent 13."""
    vit = ViT(dim=24, heads=3) if encoder == "own" else TimmEncoder("vit_tiny_patch16_224", image_size=32)
    scales = layer_scales(vit, 0.5)
    assert scales["net.patch_embed.proj.weight"] == scales["net.pos_embed"] == 0.5**13
    assert scales["net.blocks.0.norm1.weight"] == 0.5**12
    assert scales["net.blocks.11.mlp.fc2.weight"] == 0.5
    assert scales["net.norm.weight"] == 1.0


def test_all_parameters_decay_on_request():
    """As in MoCo's code, which hands all parameters to SGD in one group."""
    (group,) = parameter_groups(Model(), lr=0.1, weight_decay=0.2, decay_all=True)
    assert (group["weight_decay"], group["decays"]) == (0.2, True)


def test_each_gradient_is_clipped_by_itself():
    """As DINO's code does: short ones stay, long ones get the norm of the limit."""
    short, long = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    short.grad, long.grad = torch.tensor([0.3, 0.4]), torch.tensor([30.0, 40.0])
    clip_each_gradient([short, long, nn.Parameter(torch.zeros(1))], 3.0)
    torch.testing.assert_close(short.grad, torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(long.grad, torch.tensor([1.8, 2.4]), rtol=1e-6, atol=0)


def test_learning_rates_of_parts_and_layers_multiply():
    model = Model()
    groups = parameter_groups(model, 1.0, 0.0, layer_decay=0.5, lr_scale={"net": 0.1, "net.blocks.1": 10.0})
    rates = {name: group["lr"] for group in groups for name in names_of(model, group)}
    assert rates["net.blocks.0.weight"] == pytest.approx(0.025)
    assert rates["net.blocks.1.weight"] == pytest.approx(5.0)
    assert rates["head.weight"] == 1.0


def test_a_part_that_does_not_exist_is_named():
    with pytest.raises(InputError, match=r"lr_scale names 'image_tower'.*net, head"):
        parameter_groups(Model(), 1.0, 0.0, lr_scale={"image_tower": 0.1})


def test_nothing_to_train_is_an_error():
    with pytest.raises(InputError, match="Model has no parameter that requires a gradient"):
        parameter_groups(Model().requires_grad_(False), 1.0, 0.0)


def lars(weight: Tensor, decays: bool) -> torch.optim.Optimizer:
    group = {"params": [weight], "weight_decay": 0.5 if decays else 0.0, "decays": decays, "trust_coeff": 0.1}
    return build_optimizer("lars", [group], lr=2.0, momentum=0.9)


def test_lars_by_hand():
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))  # norm 5
    optimizer = lars(weight, decays=True)
    weight.grad = torch.tensor([[0.0, 2.5]])  # norm 2.5; eta |w| / (|g| + beta |w|) = 0.1 * 5 / (2.5 + 2.5) = 0.1
    optimizer.step()
    velocity = 0.1 * torch.tensor([[0.0 + 1.5, 2.5 + 2.0]])
    torch.testing.assert_close(weight.data, torch.tensor([[3.0, 4.0]]) - 2.0 * velocity)
    before, weight.grad = weight.data.clone(), torch.zeros(1, 2)  # norm 0: no trust ratio, the momentum goes on
    optimizer.step()
    torch.testing.assert_close(weight.data, before - 2.0 * (0.9 * velocity + 0.5 * before))


def test_lars_takes_plain_momentum_steps_for_norms_and_biases():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = lars(weight, decays=False)
    for _ in range(2):
        weight.grad = torch.tensor([1.0, 0.0])
        optimizer.step()
    torch.testing.assert_close(weight.data, torch.tensor([1.0 - 2.0 * 1.0 - 2.0 * 1.9, 2.0]))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_parameters_without_gradient_stay(name: str):
    model = Model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = build_optimizer(name, parameter_groups(model, 0.1, 0.5), 0.1)
    optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_gradients_are_clipped_in_mixed_precision_too(tmp_path):
    before = train(tmp_path / "before", precision="bf16-mixed", max_steps=0).state_dict()
    after = train(tmp_path / "after", precision="bf16-mixed", gradient_clip_val=1.0).state_dict()
    assert not torch.equal(before["line.0.weight"], after["line.0.weight"])
    assert all(value.isfinite().all() for value in after.values())
