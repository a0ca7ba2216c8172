import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

import mmcontrast as mmc
from mmcontrast.errors import InputError
from mmcontrast.train.command import fit_recipe
from mmcontrast.train.derived import derive_settings
from mmcontrast.train.recipes import find_recipe, put_options, read_config, recipe_names

QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.logger=false"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    folder.mkdir()
    for number in range(20):
        Image.effect_noise((40, 36), 60).convert("RGB").save(folder / f"{number}.png")
    return folder


def options(recipe: str, **values) -> dict:
    config = read_config(find_recipe(recipe))
    put_options(config, **values)
    return config


def test_names_are_found_with_either_dash_and_near_ones_are_listed():
    assert find_recipe("moco_v2") == find_recipe("moco-v2")
    assert find_recipe("clip/lite-small").name == "lite_small.yaml"
    with pytest.raises(InputError, match=r"no recipe 'simcrl'; did you mean .*simclr"):
        find_recipe("simcrl")
    with pytest.raises(InputError, match=r"the config nowhere\.yaml does not exist"):
        find_recipe("nowhere.yaml")


def test_every_method_has_a_recipe_for_the_users_own_data():
    methods = {
        read_config(find_recipe(name))["model"]["method"]["class_path"] for name in recipe_names() if "/" not in name
    }
    assert {name for name in mmc.methods.__all__ if name[0].isupper()} - {"Method"} == methods


def test_options_are_put_into_the_config(photos: Path):
    config = options("simclr", data=str(photos), epochs=3, batch_size=4, lr=0.5, seed=7, limit=9)
    assert config["data"]["train"]["init_args"]["root"] == str(photos)
    assert (config["trainer"]["max_epochs"], config["data"]["batch_size"], config["data"]["limit"]) == (3, 4, 9)
    assert (config["model"]["lr"], config["seed_everything"]) == (0.5, 7)
    with pytest.raises(
        InputError, match=r"trains on ToyImages, which reads no path, so that --data here has no effect"
    ):
        options("smoke/simclr", data="here")


def test_epochs_replace_steps_and_data_replaces_the_recipes_validation():
    assert "max_steps" not in options("video/vondrick", epochs=2)["trainer"]
    config = options("clip/flickr8k", data="pairs.csv")
    assert "val" not in config["data"]
    assert "images" not in config["data"]["train"]["init_args"]


def test_an_encoder_keeps_what_the_recipe_needs_of_it():
    encoder = options("colorization", encoder="timm:resnet10t")["model"]["method"]["init_args"]["encoder"]
    assert encoder == {
        "class_path": "TimmEncoder",
        "init_args": {"image_size": 96, "in_channels": 1, "output_stride": 8, "name": "resnet10t"},
    }
    both = options("split-brain", encoder="TinyConv")["model"]["method"]["init_args"]
    assert [both[half]["init_args"]["in_channels"] for half in ("lightness", "color")] == [1, 2]
    nested = options("cpc", encoder="TinyConv")["model"]["method"]["init_args"]["encoder"]["init_args"]
    assert nested["encoder"]["class_path"] == "TinyConv"
    model = options("dino", encoder="dino-lite")["model"]
    assert model["init_from"] == "dino-lite"
    assert model["method"]["init_args"]["encoder"]["class_path"].endswith("ResNet")
    with pytest.raises(InputError, match=r"there is no encoder 'ResNt'; did you mean ResNet"):
        options("simclr", encoder="ResNt")


@pytest.mark.parametrize(
    ("size", "batch", "epochs", "queue"), [(200, 32, 200, 64), (50_000, 256, 20, 4096), (8, 8, 200, 64)]
)
def test_settings_follow_from_the_size_of_the_set(size: int, batch: int, epochs: int, queue: int):
    config = {"data": {"batch_size": "auto"}, "trainer": {"max_epochs": "auto"}, "model": {"warmup": "auto"}}
    paths = ["data.batch_size", "trainer.max_epochs", "model.warmup", "model.method.init_args.queue_size"]
    derived = derive_settings(config, paths, size)
    assert (derived["data.batch_size"], derived["trainer.max_epochs"]) == (batch, epochs)
    assert derived["model.method.init_args.queue_size"] == queue
    assert 0 < derived["model.warmup"] <= size // batch * epochs / 5


def test_a_set_that_is_too_small_or_a_field_without_a_rule_is_refused():
    with pytest.raises(InputError, match="has 7 samples"):
        derive_settings({"data": {}, "trainer": {}}, [], 7)
    with pytest.raises(InputError, match="no rule derives lr"):
        derive_settings({"data": {}, "trainer": {}}, ["model.lr"], 100)


def test_a_folder_of_photos_is_trained_on_and_nothing_is_written_without_out(photos: Path, capsys, monkeypatch):
    monkeypatch.chdir(photos.parent)
    assert fit_recipe("simclr", data="my photos", encoder="TinyConv", epochs=1, print_config=True) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["batch_size"] == 8
    with pytest.raises(InputError, match="add --out DIR"):
        fit_recipe("simclr", data="my photos")
    with pytest.raises(InputError, match="give the data to train on, such as --data photos"):
        fit_recipe("simclr", out="run")
    assert [path.name for path in Path().iterdir()] == ["my photos"]
    extra = [*QUIET, "--data.workers=0", "--model.warmup=1"]
    assert fit_recipe("simclr", data="my photos", encoder="TinyConv", epochs=2, out="run", limit=16, extra=extra) == 0
    assert "settings for 16 samples: batch_size 8" in capsys.readouterr().err
    assert {path.name for path in Path("run").iterdir()} == {"config.yaml", "last.ckpt", "loss.png", "metrics.csv"}
    assert fit_recipe(None, out="run", resume=True, epochs=3, lr=0.25, extra=extra) == 0
    assert "going on with" in capsys.readouterr().err
    assert "model.lr 0.001 -> 0.25" in Path("run/changes.txt").read_text()
    assert json.dumps(mmc.load("run").encoder.dim)
