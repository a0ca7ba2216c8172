"""Follows docs/extending.md word by word: what it says about a new method is enough."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```', re.M | re.S)


def apply(page: str, root: Path) -> list[str]:
    """Writes the new files of a page and adds its lines; returns the files."""
    files = []
    for kind, name, text in BLOCK.findall(page):
        file = root / name
        if kind == "diff":
            assert file.is_file(), f"{name} is not there to be extended"
            added = "".join(f"{line[1:]}\n" for line in text.splitlines() if line.startswith("+"))
            file.write_text(file.read_text() + added)
        else:
            assert not file.exists(), f"{name} exists already"
            file.write_text(text)
        files.append(name)
    return files


@pytest.mark.slow
def test_a_method_is_one_file_one_line_one_recipe_and_one_case(tmp_path: Path):
    for folder in ("mmcontrast", "configs", "tests/conformance"):
        ignored = shutil.ignore_patterns("weights", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    page = (ROOT / "docs/extending.md").read_text()
    assert apply(page, tmp_path) == [
        "mmcontrast/methods/barlow_twins.py",
        "mmcontrast/methods/__init__.pyi",
        "configs/smoke/barlow_twins.yaml",
        "tests/conformance/cases.py",
    ]
    cases = tmp_path / "tests/conformance/cases.py"
    cases.write_text(
        cases.read_text().replace(
            "from mmcontrast.methods import (", "from mmcontrast.methods import (\n    BarlowTwins,"
        )
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    assert str(tmp_path) in python("-c", "import mmcontrast; print(mmcontrast.__file__, mmcontrast.BarlowTwins)")
    tests = python(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/conformance/test_methods.py",
        "-k",
        "BarlowTwins or every",
    )
    assert int(re.search(r"(\d+) passed", tests)[1]) >= 5
    python("-m", "mmcontrast", "fit", "configs/smoke/barlow_twins.yaml", "--out", "run", "--trainer.max_steps", "2")
    assert (tmp_path / "run/last.ckpt").is_file()
