from pathlib import Path

import pytest
import torch

from mmcontrast.cli.main import main
from mmcontrast.models.loading import load, load_encoder

ROOT = Path(__file__).parent.parent.parent
NAMES = (
    "simclr",
    "moco",
    "moco_v3",
    "dino",
    "dinov2",
    "mae",
    "cpc",
    "cpc_sound",
    "rotation",
    "relative_patch",
    "jigsaw",
    "inpainting",
    "colorization",
    "split_brain",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_can_be_loaded(name: str, tmp_path: Path):
    config = str(ROOT / "configs/smoke" / f"{name}.yaml")
    short = ["--data.train.init_args.length=64", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    assert main(["fit", "-c", config, "--out", str(tmp_path / "run"), *short]) == 0
    trained = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["state_dict"]
    for key, value in load(tmp_path / "run").state_dict().items():
        assert torch.equal(value, trained[f"method.{key}"]), key
    encoder = load_encoder(tmp_path / "run")
    batch = torch.rand(2, 1280) if name == "cpc_sound" else torch.rand(2, 3, 16, 16)
    assert encoder(batch).shape == (2, encoder.dim)
