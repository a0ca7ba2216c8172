"""The parser of training: YAML in, and every constructor argument is a flag."""

import difflib
import importlib
import itertools
import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from mmcontrast.errors import InputError
from mmcontrast.train.data import Data
from mmcontrast.train.learner import Learner
from mmcontrast.train.recipes import short_names
from mmcontrast.train.run_directory import TRAINER_DEFAULTS, trainer_arguments


class TrainCLI(LightningCLI):
    """Builds trainer, learner and data from arguments, with one seed for all of them.

    Args:
        arguments: Flags such as ``--config FILE`` and ``--model.lr=0.1``.
        folder: Run directory.
        save_every: Optimizer steps between checkpoints within an epoch.
    """

    def __init__(self, arguments: list[str], folder: Path, save_every: int = 1000) -> None:
        self.folder, self.save_every = folder, save_every
        super().__init__(
            Learner,
            Data,
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults=TRAINER_DEFAULTS,
            save_config_callback=None,
            parser_kwargs={
                "exit_on_error": False,
                "allow_abbrev": False,
                "prog": "mmcontrast fit",
                "description": "Train a method.",
            },
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the one integer that seeds weights, order, augmentation and dropout."""
        parser.add_argument(
            "--seed_everything", type=int, default=0, help="Seed of weights, order, augmentation and dropout."
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Hands the seed to the learner and the data."""
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the flags.

        Raises:
            InputError: A key is unknown, a value has a wrong type, or an argument is missing.
        """
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise InputError(_readable(str(error), parser)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Builds the trainer with the run directory's loggers, callbacks and plugins."""
        config = trainer_arguments(self.folder, dict(self.config_init["trainer"]), self.save_every)
        return self._instantiate_trainer(config | kwargs, [])

    def complete_config(self) -> dict[str, Any]:
        """Returns every setting of the run as plain values, the defaults included."""
        return dict(yaml.safe_load(self.parser.dump(self.config)))


def import_short_names(arguments: list[str]) -> None:
    """Imports the classes that configs and flags name, so that ``class_path: CLIP`` is enough."""
    text = " ".join(arguments)
    for flag, value in itertools.pairwise(arguments):
        if flag in ("-c", "--config"):
            if not Path(value).is_file():
                raise InputError(f"the config {value} does not exist")
            text += Path(value).read_text(encoding="utf-8")
    known = short_names()
    for name in set(re.findall(r"\b[A-Z]\w+\b", text)) & known.keys():
        getattr(importlib.import_module(known[name]), name)


def _readable(message: str, parser: LightningArgumentParser) -> str:
    """Returns one sentence for jsonargparse's indented lines, with the option that was probably meant."""
    lines = [re.sub(r'^Parser key "([^"]+)"', r"\1", line.strip()) for line in message.splitlines() if line.strip()]
    text = " ".join(lines)
    if unknown := re.search(r"arguments: --([\w.]+)|option '([\w.]+)'|Expected a dot import path string: (\w+)", text):
        word = next(group for group in unknown.groups() if group)
        keys = [action.dest for action in parser._actions]
        candidates = keys if "." in word else [*(key.rpartition(".")[2] for key in keys), *short_names()]
        if near := difflib.get_close_matches(word, candidates, n=1):
            text += f". Did you mean {near[0]}?"
    return text
