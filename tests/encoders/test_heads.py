import torch
from torch import nn

from mmcontrast.encoders.heads import GlobalBatchNorm, mlp, projection


def test_mlp_has_its_widths_and_ends_without_activation():
    head = mlp(4, 8, 8, 2, norm=True)
    kinds = [nn.Linear, GlobalBatchNorm, nn.ReLU, nn.Linear, GlobalBatchNorm, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in head] == kinds
    assert head[0].bias is None
    assert head[-1].bias is not None
    assert head(torch.rand(3, 4)).shape == (3, 2)
    assert [type(layer) for layer in mlp(4, 8, 2)] == [nn.Linear, nn.ReLU, nn.Linear]


def test_linear_projection_starts_at_unit_gain():
    torch.manual_seed(0)
    head = projection("linear", 256, 128)
    assert head.bias is None
    assert abs(head(torch.randn(64, 256)).std().item() - 1) < 0.05
    assert projection("mlp", 6, 4)(torch.rand(2, 6)).shape == (2, 4)
    x = torch.rand(2, 6)
    assert projection("none", 6, 6)(x) is x
