"""The configs of dense descriptors train on scenes of the layout that they name."""

import csv
from pathlib import Path

import pytest

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.toy_scene import write_toy_scene
from tests.pdc_scene import write_pdc_scene

CONFIGS = Path(__file__).parents[2] / "configs/dense"


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
def test_the_papers_config_trains_on_pdc_scenes(tmp_path, monkeypatch):
    for seed, (name, scene) in enumerate([("caterpillar", "one"), ("caterpillar", "two"), ("shoe", "three")]):
        posed = write_toy_scene(tmp_path / f"posed{seed}", seed, frames=4)
        write_pdc_scene(posed, tmp_path / "data/pdc" / name / scene)
    monkeypatch.chdir(tmp_path)
    small = {
        "model.method.init_args.encoder.init_args.name": "resnet18",
        "model.method.init_args.encoder.init_args.pretrained": "false",
        "data.augment.init_args.find.init_args.matches": "50",
        "data.augment.init_args.find.init_args.attempts": "400",
        "data.batch_size": "4",
        "data.workers": "0",
        "trainer.max_steps": "1",
        "trainer.accelerator": "cpu",
    }
    options = [text for name, value in small.items() for text in (f"--{name}", value)]
    assert main(["fit", "-c", str(CONFIGS / "pdc.yaml"), "--out", "run", *options]) == 0
    with open("run/metrics.csv", newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    assert int(last["step"]) == 1
    assert float(last["train/loss"]) > 0
    assert float(last["train/matches"]) > 10
