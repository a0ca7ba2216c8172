"""Every config names only what exists, and says how to run it and what came out."""

import re
from pathlib import Path

import pytest
import yaml

from mmcontrast.cli.main import main
from mmcontrast.train.cli import run_folder

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("configs/*/*.yaml"))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_argument_is_known(config: str, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "-c", config, "--print_config"])
    assert stopped.value.code in (0, None)
    complete = yaml.safe_load(capsys.readouterr().out)
    assert {"model", "data", "trainer"} <= complete.keys()


@pytest.mark.parametrize("config", CONFIGS)
def test_the_header_says_how_to_run_it_and_what_came_out(config: str):
    header = "\n".join(re.findall(r"^#.*", (ROOT / config).read_text(), re.M))
    assert f"-c {config}" in header
    if "smoke" not in config:
        header = header.replace("\n# ", " ")
        assert "not yet measured" in header.lower() or re.search(r"\d+(\.\d+)? ?%|= ?\d|\d (min|h|s)\b", header)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_header_names_the_folder_that_the_run_gets(config: str):
    header = "\n".join(re.findall(r"^#.*", (ROOT / config).read_text(), re.M))
    assert set(re.findall(r"\bruns/[\w-]+", header)) <= {f"runs/{run_folder([ROOT / c]).name}" for c in CONFIGS}
    assert not (named := re.findall(r"export (runs/[\w-]+)", header)) or named == [str(run_folder([ROOT / config]))]
