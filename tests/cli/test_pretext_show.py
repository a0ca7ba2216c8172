"""``predict features --show`` and the sheets of ``fit``, for methods that paint."""

import pytest
import torch

from mmcontrast.cli.main import main
from mmcontrast.encoders import TinyConv
from mmcontrast.methods import Colorization, Inpainting, Method, SplitBrain
from mmcontrast.models.exporting import export
from tests.evals.labeled_images import image_size, write_colors


def tiny(channels: int = 3) -> TinyConv:
    return TinyConv(dim=4, in_channels=channels, image_size=16)


METHODS = {
    "inpainting": lambda: Inpainting(tiny(), overlap=1, width=8, discriminator_width=8),
    "colorization": lambda: Colorization(tiny(1), width=8),
    "split-brain": lambda: SplitBrain(tiny(1), tiny(2), width=8),
}


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_paints_is_shown_on_a_sheet(name: str, tmp_path, capsys):
    photos = write_colors(tmp_path / "photos", 2, 20, 0)
    method: Method = METHODS[name]().eval()
    shown = method.images(torch.rand(2, 3, 16, 16), torch.arange(2))
    assert next(iter(shown)) == "photograph"
    assert all(image.shape == (2, 3, 16, 16) for image in shown.values())
    assert all(image.min() >= 0 and image.max() <= 1 for image in shown.values())
    model = str(export(method, tmp_path / "model"))
    arguments = ["predict", "features", str(photos), "--model", model, "--out", str(tmp_path / "out"), "--show"]
    assert main([*arguments, name]) == 0
    assert image_size(tmp_path / "out" / f"{name}.png") > 200
    assert main([*arguments, "rotation", "--overwrite"]) == 2
    assert f"is a {type(method).__name__}; give a model trained by Rotation" in capsys.readouterr().err
