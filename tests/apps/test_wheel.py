"""The wheel carries apps, recipes and data scripts, and works where there is no checkout."""

import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARRIED = {"mmcontrast/apps": "apps", "mmcontrast/recipes": "configs", "mmcontrast/data_scripts": "data_scripts"}


def test_every_package_is_listed():
    """A folder that ``packages`` leaves out would be missing from the wheel, in silence."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    inside = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "mmcontrast").rglob("__init__.py")}
    assert listed == inside | {"mmcontrast.apps", "mmcontrast.recipes", "mmcontrast.data_scripts"}


def test_the_checkout_has_no_symbolic_links():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    assert not [name for name in tracked.stdout.splitlines() if (ROOT / name).is_symlink()]


@pytest.mark.slow
def test_an_installed_wheel_trains_and_serves(tmp_path: Path):
    """The wheel in an environment of its own, which borrows every other package."""
    copy, wheels = tmp_path / "copy", tmp_path / "wheels"
    subprocess.run(["git", "clone", "-q", ROOT, copy], check=True)
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, copy], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        packed = {*archive.namelist()}
    assert {name.split("/")[0].split("-")[0] for name in packed} == {"mmcontrast"}
    for inside, folder in CARRIED.items():
        files = [file for file in (copy / folder).rglob("*") if file.suffix in {".py", ".yaml", ".txt", ".mp4", ".css"}]
        assert {f"{inside}/{file.relative_to(copy / folder)}" for file in files} <= packed
    venv.create(tmp_path / "env", with_pip=False)
    program = tmp_path / "env" / "bin" / "mmcontrast"
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    python = program.with_name("python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--ignore-installed", wheel], check=True)
    code = "import mmcontrast.apps.demo as d, mmcontrast as m; print(m.__file__, d.__file__, sep='\\n')"
    files = subprocess.run([python, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert all(Path(line).is_relative_to(site) for line in files.split())
    subprocess.run([program, "data", "cifar10", "--help"], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    run = [program, "fit", "smoke/clip", "--out", "run", "--trainer.max_steps", "2"]
    subprocess.run(run, check=True, cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert (tmp_path / "run" / "last.ckpt").is_file()
    served = subprocess.Popen([program, "app"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert served.stderr
    with served:
        assert served.stderr.readline().startswith("Open http://127.0.0.1:")
        served.terminate()
