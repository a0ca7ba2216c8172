import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from data_scripts.principal_head import main, principal_directions
from mmcontrast.data.datasets.clips import Clips
from mmcontrast.encoders import TinyConv
from mmcontrast.methods.frame_encoder import FrameEncoder


@pytest.fixture
def videos(tmp_path):
    """One video of random blocks."""
    folder = tmp_path / "videos" / "one"
    folder.mkdir(parents=True)
    for t in range(4):
        blocks = Image.fromarray(np.random.default_rng(t).integers(0, 255, (8, 8, 3), np.uint8))
        blocks.resize((64, 64)).save(folder / f"{t}.png")
    return tmp_path / "videos"


def test_the_head_keeps_what_the_features_hold(videos):
    torch.manual_seed(0)
    encoder = FrameEncoder(TinyConv(dim=16), dim=6).eval()
    head = principal_directions(encoder, Clips(videos, frames=2, size=32, per_video=8), count=8)[:, :, 0, 0]  # (6, 16)
    assert_close(head @ head.T, torch.eye(6), atol=1e-5, rtol=0)
    image = torch.from_numpy(np.array(Image.open(videos / "one" / "0.png"))).permute(2, 0, 1)[None] / 255
    cells = encoder.trunk.grid(image)[0].flatten(1).detach()  # (16, cells)
    most = torch.linalg.svdvals(cells)[:6].square().sum()
    assert 0.9 * most < (head @ cells).square().sum() <= 1.001 * most


def test_it_reads_a_config(videos, tmp_path, capsys):
    method = {
        "class_path": "MAST",
        "init_args": {"encoder": {"class_path": "TinyConv", "init_args": {"dim": 16}}, "dim": 6},
    }
    clips = {"init_args": {"root": str(videos), "frames": 2, "size": 32}}
    config = {"model": {"method": method}, "data": {"train": {"init_args": {"sources": [clips]}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main([str(tmp_path / "config.yaml"), str(tmp_path / "head.safetensors")]) == 0
    assert "6 directions of 16 channels" in capsys.readouterr().out
    assert load_file(tmp_path / "head.safetensors")["encoder.head.weight"].shape == (6, 16, 1, 1)
    (tmp_path / "config.yaml").write_text("model: {}")
    assert main([str(tmp_path / "config.yaml"), str(tmp_path / "head.safetensors")]) == 2
    assert "MAST" in capsys.readouterr().err
