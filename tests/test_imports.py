import subprocess
import sys

from importlinter.cli import lint_imports


def test_layers_point_down():
    assert lint_imports(config_filename="pyproject.toml", cache_dir=None) == 0


def test_the_package_itself_imports_nothing_heavy():
    code = (
        "import sys, mmcontrast\n"
        "assert not {'torch', 'numpy', 'lightning'} & sys.modules.keys()\n"
        "assert 'CLIP' in dir(mmcontrast)\n"
        "assert not {'torch'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_predictors_and_methods_do_not_import_lightning():
    code = (
        "import sys, mmcontrast\n"
        "mmcontrast.CLIP, mmcontrast.load, mmcontrast.ZeroShotClassifier\n"
        "assert not {'lightning', 'jsonargparse', 'gradio', 'decord'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
