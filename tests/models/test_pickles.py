"""Nothing unpickles: the source is searched for ways to, and every door for weights is tried with a trap."""

import ast
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from mmcontrast.errors import InputError
from mmcontrast.inference.cache import load_array
from mmcontrast.models.loading import load
from mmcontrast.train.checkpoint import AtomicCheckpointIO
from mmcontrast.train.init_from import copy_shared_weights
from tests.conformance.cases import CASES

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("mmcontrast", "apps", "data_scripts") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(path: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """(line, function as written, keyword arguments as written) of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), {k.arg or "**": ast.unparse(k.value) for k in node.keywords}


def danger(function: str, options: dict[str, str]) -> bool:
    name = function.rpartition(".")[2]
    if function.endswith("torch.load"):
        return options.get("weights_only") != "True"
    if function in ("np.load", "numpy.load"):
        return options.get("allow_pickle") != "False"
    if function in ("yaml.load", "yaml.load_all"):
        return False  # the loader is looked at by test_yaml_is_loaded_safely
    if name in ("extractall", "extract") and "tar" in function:
        return options.get("filter") != "'data'"
    if name == "from_pretrained":
        return "trust_remote_code" in options and options["trust_remote_code"] != "False"
    return (
        function in ("eval", "exec", "os.system", "torch.jit.load", "torch.hub.load", "yaml.unsafe_load")
        or function.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
        or options.get("shell") == "True"
    )


def test_the_source_has_no_way_to_unpickle_or_to_run_what_it_reads():
    assert len(SOURCES) > 100
    found = [
        f"{path}:{line} {name}" for path in SOURCES for line, name, options in calls(path) if danger(name, options)
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path):
    (tmp_path / "x.py").write_text(
        "torch.load(p)\nnp.load(p)\npickle.loads(b)\nos.system(c)\nrun(c, shell=True)\ntar.extractall(d)\neval(s)\n"
    )
    assert [danger(name, options) for _, name, options in calls(tmp_path / "x.py")] == [True] * 7


def test_yaml_is_loaded_safely():
    loads = [
        (path, ast.unparse(node.args[1]))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "yaml.load"
    ]
    for path, loader in loads:
        assert "SafeLoader" in path.read_text(), f"{path}: {loader}"
        assert not any(word in path.read_text() for word in ("FullLoader", "UnsafeLoader", "yaml.Loader"))


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def run_directory(folder: Path, trap: Trap) -> str:
    import yaml

    from mmcontrast.configurable import config_of

    folder.mkdir()
    config = {"model": {"method": config_of(CASES["MoCo"].build())}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save({"state_dict": {"method.weight": trap}}, folder / "last.ckpt")
    return str(folder)


def timm_file(folder: Path, trap: Trap) -> str:
    folder.mkdir()
    torch.save({"state_dict": timm.create_model("resnet10t", num_classes=0).state_dict(), "x": trap}, folder / "w.pth")
    return f"timm:resnet10t@{folder}/w.pth"


def open_clip_file(folder: Path, trap: Trap) -> str:
    folder.mkdir()
    torch.save({"state_dict": {"logit_scale": torch.ones(())}, "x": trap}, folder / "w.pt")
    return f"open_clip:RN50/{folder}/w.pt"


def hf_folder(folder: Path, trap: Trap) -> str:
    from transformers import CLIPConfig

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = CLIPConfig(text_config={**small, "vocab_size": 50}, vision_config={**small, "image_size": 32})
    config.save_pretrained(folder)
    torch.save({"logit_scale": trap}, folder / "pytorch_model.bin")
    return f"hf:{folder}"


DOORS: dict[str, Callable[[Path, Trap], str]] = {
    "run directory": run_directory,
    "timm file": timm_file,
    "open_clip file": open_clip_file,
    "transformers folder": hf_folder,
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("door", DOORS)
def test_a_trap_is_refused_and_does_not_spring(door: str, tmp_path: Path):
    trap = Trap(tmp_path / "sprung")
    name = DOORS[door](tmp_path / "model", trap)
    with pytest.raises(InputError, match="more than tensors"):
        load(name)
    assert not trap.marker.exists()
    with pytest.raises(InputError):
        copy_shared_weights(CASES["MoCo"].build(), name)
    assert not trap.marker.exists()


def test_a_checkpoint_to_resume_and_a_cached_array_do_not_spring_either(tmp_path: Path):
    trap = Trap(tmp_path / "sprung")
    torch.save({"state_dict": {}, "callbacks": trap}, tmp_path / "last.ckpt")
    with pytest.raises(Exception, match="eights only"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")
    np.save(tmp_path / "a.npy", np.array([trap], dtype=object), allow_pickle=True)
    assert load_array(tmp_path / "a.npy") is None
    assert not trap.marker.exists()


def test_code_in_a_transformers_folder_is_not_run(tmp_path: Path):
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(
        f"import os\nos.mkdir({str(marker)!r})\n"
        "from transformers import PreTrainedConfig\nclass Evil(PreTrainedConfig):\n    model_type = 'evil'\n"
    )
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError):
        load(f"hf:{tmp_path}")
    assert not marker.exists()
