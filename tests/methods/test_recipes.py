"""Settings of recipes that decide whether a run reaches the published figure."""

from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "configs"


def model(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]


@pytest.mark.parametrize("name", ["clip/siglip_cc3m", "clip/lit_cc3m"])
def test_decay_of_big_vision_counts_after_the_learning_rate(name: str):
    settings = model(name)
    assert settings["lr"] * settings["weight_decay"] == pytest.approx(1e-4)  # torch multiplies the two


def test_the_random_walk_has_no_weight_decay():
    assert model("video/contrastive_random_walk")["weight_decay"] == 0
