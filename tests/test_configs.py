"""Every config names only what exists, and says how to run it and what came out."""

import re
from pathlib import Path

import pytest
import yaml

from mmcontrast.cli import main

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
