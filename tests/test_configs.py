"""Every config names only what exists, and says how to run it and what came out."""

import re
from pathlib import Path

import pytest
import yaml

from mmcontrast.train.command import fit_recipe
from mmcontrast.train.recipes import find_recipe, recipe_names

ROOT = Path(__file__).parent.parent
RECIPES = sorted(
    path.relative_to(ROOT / "configs").with_suffix("").as_posix() for path in ROOT.glob("configs/**/*.yaml")
)


def header(recipe: str) -> str:
    return "\n".join(re.findall(r"^#.*", (ROOT / "configs" / f"{recipe}.yaml").read_text(), re.M))


def run_of(recipe: str) -> str:
    return f"runs/{recipe.replace('/', '-')}"


def test_every_config_is_a_recipe_by_name():
    assert recipe_names() == RECIPES
    assert all(find_recipe(name).is_file() for name in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_argument_is_known(recipe: str, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    auto = [f"--{path}=8" for path in ("model.warmup", "data.batch_size", "trainer.max_epochs")]
    auto += [f"--model.method.init_args.{name}=64" for name in ("queue_size", "prototypes")]
    text = find_recipe(recipe).read_text()
    flags = [flag for flag in auto if f"{flag.partition('=')[0].rpartition('.')[2]}: auto" in text.replace("--", "")]
    assert fit_recipe(recipe, print_config=True, extra=flags) == 0
    complete = yaml.safe_load(capsys.readouterr().out)
    assert {"model", "data", "trainer"} <= complete.keys()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_header_says_how_to_run_it_and_what_came_out(recipe: str):
    assert re.search(rf"mmcontrast fit {re.escape(recipe)} .*--out {run_of(recipe)}\b", header(recipe))
    if "smoke" not in recipe:
        text = header(recipe).replace("\n# ", " ")
        assert "not yet measured" in text.lower() or re.search(r"\d+(\.\d+)? ?%|= ?\d|\d (min|h|s)\b", text)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_header_names_the_directory_that_the_run_gets(recipe: str):
    assert set(re.findall(r"\bruns/[\w-]+", header(recipe))) <= {run_of(name) for name in RECIPES}
    assert not (named := re.findall(r"export (runs/[\w-]+)", header(recipe))) or named == [run_of(recipe)]
