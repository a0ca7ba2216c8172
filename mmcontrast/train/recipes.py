"""Recipes: configs that are found by name, and the short options of ``mmcontrast fit`` put into them."""

import difflib
import importlib
import inspect
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml

from mmcontrast.errors import InputError
from mmcontrast.models.bundle import BUNDLED, bundled
from mmcontrast.train.derived import derive_settings

# The packages whose classes a config can name without the package.
PACKAGES = ("mmcontrast.methods", "mmcontrast.encoders", "mmcontrast.data", "mmcontrast.train.monitors")
# Arguments of datasets that say where the data lies.
_ROOTS = ("root", "scenes")
# Arguments of methods that hold an image encoder.
_ENCODERS = ("encoder", "image_encoder", "lightness", "color")
# Names that stand for the user's data in the recipes; see the header of each.
_PLACEHOLDERS = ("photos", "pairs.csv", "videos", "sounds", "scenes", "frames")

Config = dict[str, Any]


def recipe_names() -> list[str]:
    """Returns the names of all recipes, such as "simclr" or "clip/flickr8k"."""
    with as_file(files("mmcontrast.recipes")) as folder:
        return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in Path(folder).rglob("*.yaml"))


def find_recipe(name: str) -> Path:
    """Returns the YAML file of a recipe.

    Args:
        name: A recipe's name, with "-" and "_" taken as equal, or the path of a YAML file.

    Raises:
        InputError: There is no such recipe; the message lists names that are close.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        if not Path(name).is_file():
            raise InputError(f"the config {name} does not exist")
        return Path(name)
    plain = {known.replace("_", "-"): known for known in recipe_names()}
    known = plain.get(name.replace("_", "-"))
    if known is None:
        close = difflib.get_close_matches(name.replace("_", "-"), plain, n=3, cutoff=0.5)
        close += [option for option in plain if name.lower() in option.split("/") and option not in close]
        hint = f"did you mean {' or '.join(plain[option] for option in close)}?" if close else ""
        raise InputError(f"there is no recipe {name!r}; {hint or 'mmcontrast list recipes shows all'}")
    return Path(str(files("mmcontrast.recipes").joinpath(f"{known}.yaml")))


def read_config(path: Path) -> Config:
    """Reads a config.

    Raises:
        InputError: The file is no YAML mapping.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"the config {path} cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(config, dict):
        raise InputError(f"the config {path} is no YAML mapping with model, data and trainer")
    return config


def put_options(
    config: Config,
    *,
    data: str | None = None,
    encoder: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    limit: int | None = None,
) -> None:
    """Sets the usual fields of a config, which is changed in place; None leaves a field as it is.

    Args:
        config: The config of a recipe.
        data: The path that the training set reads.
        encoder: See ``put_encoder``.
        epochs: Number of epochs, which replaces a number of steps.
        batch_size: Samples per step.
        lr: Peak learning rate.
        seed: Seed of weights, order, augmentation and dropout.
        limit: Number of training samples to use.
    """
    for section in ("model", "data", "trainer"):
        config.setdefault(section, {})
    if data is not None:
        put_data(config, data)
    if encoder is not None:
        put_encoder(config, encoder)
    if epochs is not None:
        config["trainer"].pop("max_steps", None)
    fields = {
        ("trainer", "max_epochs"): epochs,
        ("data", "batch_size"): batch_size,
        ("data", "limit"): limit,
        ("model", "lr"): lr,
    }
    for (section, name), value in fields.items():
        if value is not None:
            config[section][name] = value
    if seed is not None:
        config["seed_everything"] = seed


def put_data(config: Config, path: str) -> None:
    """Makes the training set of a config read ``path``; a validation set of the recipe's own data is dropped.

    Raises:
        InputError: The training set of the recipe reads no path.
    """
    train = config["data"]["train"] = node(config["data"].get("train"))
    parameters = inspect.signature(find_class(train["class_path"])).parameters
    roots = [name for name in _ROOTS if name in parameters]
    if not roots:
        raise InputError(
            f"the recipe trains on {train['class_path']}, which reads no path, so that --data {path} has no effect; "
            f"choose another recipe, such as simclr, clip or don"
        )
    for name in ("images", "split"):  # files of the recipe's own data
        train["init_args"].pop(name, None)
    train["init_args"][roots[0]] = path
    if config["data"].pop("val", None) is not None:
        print("validation: none, since --data replaces the recipe's data; --data.val sets one", file=sys.stderr)


def put_encoder(config: Config, name: str) -> None:
    """Sets the image encoder of a config's method.

    Arguments of the recipe's encoder that the new one has too, such as ``image_size`` and ``in_channels``, stay.

    Args:
        config: Changed in place.
        name: "timm:NAME", the name of an encoder class, or a bundled model whose encoder and weights are taken.

    Raises:
        InputError: There is no such encoder, or the method has none.
    """
    method = config["model"]["method"] = node(config["model"].get("method"))
    arguments = method["init_args"]
    if isinstance(arguments.get("encoder"), dict) and "encoder" in node(arguments["encoder"])["init_args"]:
        arguments = node(arguments["encoder"])["init_args"]  # an encoder around another, such as PatchGrid
    names = [argument for argument in _ENCODERS if argument in arguments]
    if not names:
        raise InputError(
            f"{method['class_path']} names no image encoder in this recipe, so that --encoder has no effect"
        )
    for argument in names:
        arguments[argument] = _encoder_node(name, node(arguments[argument]))
    if name in bundled():
        config["model"]["init_from"] = name


def _encoder_node(name: str, recipe: Config) -> Config:
    """Returns the config of an encoder; ``recipe`` is that of the encoder that it replaces."""
    if name.startswith("timm:"):
        arch, _, weights = name.removeprefix("timm:").partition("@")
        new: Config = {"class_path": "TimmEncoder", "init_args": {"name": arch}}
        if weights:
            new["init_args"]["weights"] = weights
    elif name in bundled():
        arguments = read_config(BUNDLED / name / "config.yaml")["model"]["method"]["init_args"]
        return node(next(arguments[argument] for argument in _ENCODERS if argument in arguments))
    elif name in (names := _encoder_classes()):
        new = {"class_path": name, "init_args": {}}
    else:
        close = difflib.get_close_matches(name, [*names, *bundled()], n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise InputError(
            f"there is no encoder {name!r}; {hint}Give timm:NAME, an encoder class ({', '.join(names)}), or a bundled "
            f"model ({', '.join(bundled())})"
        )
    parameters = inspect.signature(find_class(new["class_path"])).parameters
    same_class = recipe["class_path"].rpartition(".")[2] == new["class_path"]
    shared = {"image_size", "in_channels", "patch_size", "output_stride", "levels"}
    arguments = {k: v for k, v in recipe["init_args"].items() if k in parameters and (k in shared or same_class)}
    arguments = {
        k: v for k, v in arguments.items() if k not in ("name", "pretrained", "weights", "cifar_stem", "mean", "std")
    }
    return {"class_path": new["class_path"], "init_args": arguments | new["init_args"]}


def _encoder_classes() -> list[str]:
    """Returns the names of the classes that encode images or sounds."""
    encoders = importlib.import_module("mmcontrast.encoders")
    classes = {name: getattr(encoders, name) for name in encoders.__all__}
    return [name for name, cls in classes.items() if issubclass(cls, encoders.Encoder) and cls is not encoders.Encoder]


def node(value: Any) -> Config:
    """Returns ``{"class_path": ..., "init_args": {...}}`` of a config's node, which may be a class name alone.

    Raises:
        InputError: It is neither.
    """
    if isinstance(value, str):
        return {"class_path": value, "init_args": {}}
    if not (isinstance(value, dict) and isinstance(value.get("class_path"), str)):
        raise InputError(f"the config has {value!r:.60} where a class_path is needed")
    if not isinstance(value.get("init_args"), dict):
        value["init_args"] = {}
    return value


def short_names() -> dict[str, str]:
    """Returns every class that a config can name without its package, with the package."""
    names: dict[str, str] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        names |= dict.fromkeys(getattr(module, "__all__", [n for n in vars(module) if n[0].isupper()]), package)
    return names


def find_class(class_path: str) -> Any:
    """Returns the class of a short name or a full path.

    Raises:
        InputError: There is none.
    """
    package, _, name = class_path.rpartition(".")
    try:
        return getattr(importlib.import_module(package or short_names()[name]), name)
    except (ImportError, AttributeError, KeyError):
        close = difflib.get_close_matches(name, short_names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"the config names {class_path}, which does not exist{hint}") from None


def build(value: Any) -> Any:
    """Builds the objects that a part of a config describes."""
    if isinstance(value, list):
        return [build(item) for item in value]
    if isinstance(value, dict) and "class_path" in value:
        cls, arguments = find_class(value["class_path"]), node(value)["init_args"]
        return cls(**{name: build(argument) for name, argument in arguments.items()})
    return value


def resolve_auto(config: Config, flags: list[str]) -> None:
    """Replaces each ``auto`` of a config by a value that suits the size of its training set; says so on stderr.

    Args:
        config: Changed in place.
        flags: The other flags of the command line, which win over ``auto``.

    Raises:
        InputError: ``auto`` stands where no rule knows a value, or the training set is empty.
    """
    for path in _autos(config):
        for position, flag in enumerate(flags):
            key, equals, value = flag.partition("=")
            if key == f"--{path}" and (equals or flags[position + 1 :]):
                _set(config, path, yaml.safe_load(value if equals else flags[position + 1]))
    if not (paths := _autos(config)):
        return
    train = node(config["data"].get("train"))
    root = next((train["init_args"][name] for name in _ROOTS if name in train["init_args"]), None)
    if isinstance(root, str) and root in _PLACEHOLDERS and not Path(root).exists():
        raise InputError(f"give the data to train on, such as --data {root}")
    dataset = build(train)
    size = min(len(dataset), config["data"].get("limit") or len(dataset))
    values = derive_settings(config, paths, size)
    for path, derived in values.items():
        _set(config, path, derived)
    settings = ", ".join(f"{path.rpartition('.')[2]} {derived}" for path, derived in values.items())
    print(f"settings for {size:,} samples: {settings}", file=sys.stderr)


def _autos(value: Any, prefix: str = "") -> list[str]:
    """Returns the dotted paths of all values "auto" outside the trainer's own (devices, strategy)."""
    if isinstance(value, dict):
        skip = {"devices", "strategy", "accelerator", "num_nodes"}
        return [path for key, part in value.items() if key not in skip for path in _autos(part, f"{prefix}.{key}")]
    return [prefix.lstrip(".")] if value == "auto" else []


def _set(config: Config, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        config = config[name]
    config[last] = value
