"""``mmcontrast fit`` and ``mmcontrast validate``: YAML in, every constructor argument is a flag."""

import argparse
import contextlib
import difflib
import importlib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from mmcontrast.errors import InputError
from mmcontrast.train.cpu import startup_frozen, tune_cpu
from mmcontrast.train.data import Data
from mmcontrast.train.errors import TrainingError
from mmcontrast.train.learner import Learner
from mmcontrast.train.run_directory import TRAINER_DEFAULTS, open_run_directory, quiet_lightning, trainer_arguments

SHORT_NAMES = ("mmcontrast.methods", "mmcontrast.encoders", "mmcontrast.data", "mmcontrast.train.monitors")


class TrainCLI(LightningCLI):
    """Builds trainer, learner and data from arguments; one seed for all of them."""

    def __init__(self, arguments: list[str], folder: Path, save_every: int = 1000, save_config: bool = True) -> None:
        self.folder, self.save_every = folder, save_every
        super().__init__(
            Learner,
            Data,
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults=TRAINER_DEFAULTS,
            save_config_callback=SaveConfigCallback if save_config else None,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "exit_on_error": False,
                "allow_abbrev": False,
                "prog": "mmcontrast fit",
                "description": "Train a method.",
            },
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """One integer seeds weights, order, augmentation and dropout."""
        parser.add_argument(
            "--seed_everything", type=int, default=0, help="seed of weights, order, augmentation, dropout"
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The seed reaches the learner and the data."""
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Says what is wrong in one message.

        Raises:
            InputError: unknown keys, values of a wrong type, missing arguments.
        """
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise InputError(_readable(str(error), parser)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the run directory's logger, checkpoint and progress."""
        config = trainer_arguments(self.folder, dict(self.config_init["trainer"]), self.save_every)
        return self._instantiate_trainer(config | kwargs, [])


def _readable(message: str, parser: LightningArgumentParser) -> str:
    """One sentence of jsonargparse's indented lines, with the option that was probably meant."""
    lines = [re.sub(r'^Parser key "([^"]+)"', r"\1", line.strip()) for line in message.splitlines() if line.strip()]
    text = " ".join(lines)
    if unknown := re.search(r"arguments: --([\w.]+)|option '([\w.]+)'|Expected a dot import path string: (\w+)", text):
        word = next(group for group in unknown.groups() if group)
        keys = [action.dest for action in parser._actions]
        candidates = keys if "." in word else [*(key.rpartition(".")[2] for key in keys), *short_names()]
        if near := difflib.get_close_matches(word, candidates, n=1):
            text += f". Did you mean {near[0]}?"
    return text


def short_names() -> dict[str, str]:
    """Every class that a config can name without its package -> that package."""
    names: dict[str, str] = {}
    for package in SHORT_NAMES:
        module = importlib.import_module(package)
        names |= dict.fromkeys(getattr(module, "__all__", [n for n in vars(module) if n[0].isupper()]), package)
    return names


def import_short_names(arguments: list[str]) -> None:
    """Imports the classes that configs and flags name, so that ``class_path: CLIP`` is enough."""
    text = " ".join(arguments)
    for config in config_files(arguments):
        if not config.is_file():
            raise InputError(f"the config {config} does not exist")
        text += config.read_text()
    known = short_names()
    for name in set(re.findall(r"\b[A-Z]\w+\b", text)) & known.keys():
        getattr(importlib.import_module(known[name]), name)


def config_files(arguments: list[str]) -> list[Path]:
    """What follows -c and --config."""
    pairs = itertools.pairwise(arguments)
    joined = [a.split("=", 1)[1] for a in arguments if a.startswith("--config=")]
    return [Path(value) for flag, value in pairs if flag in ("-c", "--config")] + [Path(value) for value in joined]


def run_folder(configs: list[Path]) -> Path:
    """runs/NAME, where configs/clip/lite.yaml is called clip-lite."""
    if not configs:
        raise InputError("give a config with -c FILE, or the run to go on with by --run-dir DIR --resume")
    parts = configs[-1].with_suffix("").absolute().parts
    below = parts[len(parts) - parts[::-1].index("configs") :] if "configs" in parts else parts[-1:]
    return Path("runs") / "-".join(below)


def fit(args: argparse.Namespace, arguments: list[str]) -> int:
    """Runs ``mmcontrast fit``; ``arguments`` are those that ``args`` did not take."""
    if args.help_all:
        TrainCLI(["--help"], Path())
    configs = config_files(arguments)
    folder = Path(args.run_dir) if args.run_dir else run_folder(configs)
    if not configs and (folder / "config.yaml").exists():
        arguments = ["-c", str(folder / "config.yaml"), *arguments]
    with quiet_lightning():
        tune_cpu()
        import_short_names(arguments)
        cli = TrainCLI(arguments, folder, args.save_every)
        checkpoint = open_run_directory(folder, args.resume, args.overwrite)
        with startup_frozen():
            cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    if cli.trainer.is_global_zero:
        print(f"{folder}: config.yaml, last.ckpt, metrics.csv, loss.png", file=sys.stderr)
    return 0


def validate(args: argparse.Namespace, arguments: list[str]) -> int:
    """Runs ``mmcontrast validate``: the validation figures of a run's last checkpoint as JSON on stdout."""
    configs = config_files(arguments)
    folder = Path(args.run_dir) if args.run_dir else run_folder(configs)
    if not configs:
        arguments = ["-c", str(folder / "config.yaml"), *arguments]
    checkpoint = folder / "last.ckpt"
    if not checkpoint.exists():
        raise InputError(
            f"{folder} has no last.ckpt to validate; train it with mmcontrast fit, or name a run with --run-dir DIR"
        )
    with quiet_lightning(), contextlib.redirect_stdout(sys.stderr):
        tune_cpu()
        import_short_names(arguments)
        cli = TrainCLI([*arguments, "--trainer.logger=false"], folder, save_config=False)
        if cli.datamodule.val is None:
            raise InputError("there is nothing to validate on: the config has no data.val")
        figures = cli.trainer.validate(
            cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
    if cli.trainer.is_global_zero:
        print(json.dumps(figures[0], indent=2))
    return 0


def run(command: str, args: argparse.Namespace, arguments: list[str]) -> int:
    """Runs a training command; a training that failed is a sentence and status 1."""
    try:
        return {"fit": fit, "validate": validate}[command](args, arguments)
    except TrainingError as error:
        print(f"mmcontrast: {error}", file=sys.stderr)
        return 1
