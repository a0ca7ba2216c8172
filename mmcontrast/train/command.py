"""``mmcontrast fit`` and ``mmcontrast validate``, behind the options of the command line."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mmcontrast.errors import InputError
from mmcontrast.train.cli import TrainCLI, import_short_names
from mmcontrast.train.cpu import startup_frozen, tune_cpu
from mmcontrast.train.errors import TrainingError
from mmcontrast.train.recipes import find_recipe, put_options, read_config, resolve_auto
from mmcontrast.train.run_directory import open_run_directory, quiet_lightning, restarted_by_slurm
from mmcontrast.train.running import run_trainer


def fit_recipe(
    recipe: str | None,
    *,
    data: str | None = None,
    encoder: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int | None = None,
    limit: int | None = None,
    save_every: int = 1000,
    print_config: bool = False,
    help_all: bool = False,
    extra: list[str] | None = None,
) -> int:
    """Trains a recipe; the function behind ``mmcontrast fit``.

    Args:
        recipe: Name of a recipe or path of a config; None takes the config of the run in ``out`` that goes on.
        data: Path that the training set reads.
        encoder: Image encoder, see ``recipes.put_encoder``.
        epochs: Number of epochs.
        batch_size: Samples per step.
        lr: Peak learning rate.
        out: Run directory.
        resume: Go on from the last checkpoint in ``out``.
        overwrite: Start again in a directory that holds a run.
        seed: Seed of weights, order, augmentation and dropout.
        limit: Number of training samples to use.
        save_every: Optimizer steps between checkpoints within an epoch.
        print_config: Print the complete config and train nothing.
        help_all: Print all flags and train nothing.
        extra: Other flags, such as ``--model.weight_decay=0.1``.

    Returns:
        0; 1 if training failed; 130 after Ctrl-C; 143 after SIGTERM.

    Raises:
        InputError: The options or the data cannot be used.
    """
    flags = list(extra or [])
    if help_all:
        TrainCLI(["--help"], Path())
    if "-c" in flags[:-1] and recipe is None:  # as in version 0.1
        position = flags.index("-c")
        recipe = flags[position + 1]
        del flags[position : position + 2]
    resume = resume or (out is not None and restarted_by_slurm(Path(out)))
    options: dict[str, Any] = {"data": data, "encoder": encoder, "epochs": epochs, "batch_size": batch_size}
    options |= {"lr": lr, "seed": seed, "limit": limit}
    path = _config_path(recipe, out, resume)
    if out is None and not print_config:
        raise InputError(f"fit writes only where you say; add --out DIR, such as --out runs/{path.stem}")
    config = read_config(path)
    put_options(config, **options)
    resolve_auto(config, flags)
    folder = Path(out) if out is not None else Path()
    with _as_file(config) as file, quiet_lightning():
        arguments = ["--config", file, *flags]
        import_short_names(arguments)
        if print_config:
            with contextlib.suppress(SystemExit):
                TrainCLI([*arguments, "--print_config"], folder)
            return 0
        return _train(arguments, folder, resume, overwrite, save_every)


def validate_run(run: str | Path | None, extra: list[str] | None = None) -> int:
    """Prints the validation figures of a run's last checkpoint as JSON; the function behind ``mmcontrast validate``.

    Args:
        run: Run directory.
        extra: Flags that change the run's config, such as ``--data.batch_size=8``.

    Returns:
        0.

    Raises:
        InputError: The directory holds no run, or its config names no validation set.
    """
    if run is None:
        raise InputError("give the directory of a run, such as mmcontrast validate runs/simclr")
    folder, checkpoint = Path(run), Path(run) / "last.ckpt"
    if not checkpoint.exists():
        raise InputError(f"{folder} has no last.ckpt to validate; give a directory that mmcontrast fit --out has made")
    arguments = ["--config", str(folder / "config.yaml"), *(extra or []), "--trainer.logger=false"]
    with quiet_lightning(), contextlib.redirect_stdout(sys.stderr):
        tune_cpu()
        import_short_names(arguments)
        cli = TrainCLI(arguments, folder)
        if cli.datamodule.val is None:
            raise InputError(f"the config of {folder} has no data.val, so that there is nothing to validate on")
        metrics = cli.trainer.validate(
            cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
    if cli.trainer.is_global_zero:
        print(json.dumps(metrics[0], indent=2))
    return 0


def _config_path(recipe: str | None, out: str | Path | None, resume: bool) -> Path:
    """Returns the config to start from: the recipe's, or that of the run that goes on."""
    if recipe is not None:
        return find_recipe(recipe)
    if not resume or out is None:
        raise InputError("give a recipe, such as mmcontrast fit simclr --data photos/ --out runs/simclr")
    path = Path(out) / "config.yaml"
    if not path.is_file():
        raise InputError(f"{out} holds no config.yaml, so that there is no run to resume; give a recipe")
    return path


def _train(arguments: list[str], folder: Path, resume: bool, overwrite: bool, save_every: int) -> int:
    """Trains from complete arguments; a training that failed is a sentence and exit code 1."""
    tune_cpu()
    try:
        cli = TrainCLI(arguments, folder, save_every)
        with open_run_directory(folder, resume, overwrite) as checkpoint, startup_frozen():
            code = run_trainer(cli.trainer, cli.model, cli.datamodule, folder, checkpoint, cli.complete_config())
    except TrainingError as error:
        print(f"mmcontrast: {error}", file=sys.stderr)
        return 1
    if code == 0 and cli.trainer.is_global_zero:
        print(f"{folder}: config.yaml, last.ckpt, metrics.csv, loss.png", file=sys.stderr)
    return code


@contextlib.contextmanager
def _as_file(config: dict[str, Any]) -> Iterator[str]:
    """Yields the path of a file that holds the config while the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        yield str(path)
