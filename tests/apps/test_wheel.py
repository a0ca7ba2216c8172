import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[2]


def test_apps_are_packaged_inside_the_package_only():
    found = setuptools.find_packages(str(ROOT), include=["mmcontrast*"])
    assert "mmcontrast.apps" in found
    assert "apps" not in found
    assert (ROOT / "apps" / "demo.py").samefile(ROOT / "mmcontrast" / "apps" / "demo.py")


@pytest.mark.slow
def test_an_installed_wheel_serves(tmp_path):
    """The wheel in an environment of its own, which borrows everything else."""
    copy, wheels = tmp_path / "copy", tmp_path / "wheels"
    subprocess.run(["git", "clone", "-q", ROOT, copy], check=True)
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, copy], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        packed = {*archive.namelist()}
        assert {name.split("/")[0].split("-")[0] for name in packed} == {"mmcontrast"}
        assert {f"mmcontrast/apps/examples/{name}" for name in ("near.jpg", "far.jpg", "toy.mp4")} <= packed
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--ignore-installed", wheel], check=True)
    code = "import mmcontrast.apps.demo as d, mmcontrast as m; print(m.__file__, d.__file__, sep='\\n')"
    where = subprocess.run([python, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert all(Path(line).is_relative_to(site) for line in where.split())
    served = subprocess.Popen(
        [site.parents[2] / "bin" / "mmcontrast", "app"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert served.stderr
    with served:
        assert served.stderr.readline().startswith("Open http://127.0.0.1:")
        served.terminate()
