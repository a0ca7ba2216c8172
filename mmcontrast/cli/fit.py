"""``mmcontrast fit`` and ``mmcontrast validate``: recipes and runs, by ``mmcontrast.train``."""

import io
import json
from contextlib import redirect_stdout
from typing import Annotated

import typer
from typer import Argument, Option

from mmcontrast.cli.commands import pass_through
from mmcontrast.cli.options import Limit, Out, Overwrite
from mmcontrast.cli.report import report


def _recipes() -> list[str]:
    """Returns the names of the recipes, for the shell's completion."""
    from mmcontrast.cli.listing import recipes

    return [name for name, _ in recipes()]


@pass_through
def fit(
    ctx: typer.Context,
    recipe: Annotated[
        str | None,
        Argument(
            metavar="RECIPE",
            help="Name of a recipe, such as clip/flickr8k or simclr, or a YAML file. A run that goes on needs none.",
            autocompletion=_recipes,
        ),
    ] = None,
    data: Annotated[
        str | None, Option(metavar="PATH", help="Data set to use: a folder, or shards. Without it, the recipe's.")
    ] = None,
    encoder: Annotated[
        str | None,
        Option(metavar="NAME", help="Encoder to train, such as timm:resnet18. Without it, the recipe's."),
    ] = None,
    epochs: Annotated[
        int | None, Option(metavar="N", min=1, help="Number of epochs. Without it, the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, Option(metavar="N", min=1, help="Number of samples in a batch. Without it, the recipe's.")
    ] = None,
    lr: Annotated[float | None, Option(metavar="X", help="Learning rate. Without it, the recipe's.")] = None,
    seed: Annotated[
        int | None, Option(metavar="N", min=0, help="Seed of all random choices. Without it, the recipe's.")
    ] = None,
    limit: Limit = None,
    out: Out = None,
    resume: Annotated[bool, Option("--resume", help="Go on from the last complete checkpoint in --out.")] = False,
    overwrite: Overwrite = False,
    save_every: Annotated[
        int, Option(metavar="STEPS", min=1, help="Number of steps between checkpoints within an epoch.")
    ] = 1000,
    print_config: Annotated[
        bool, Option("--print-config", help="Print the complete config and train nothing.")
    ] = False,
    help_all: Annotated[
        bool, Option("--help-all", help="Show every flag of the method, the data and the trainer.")
    ] = False,
) -> int:
    """Train a method on your data.

    A recipe names a method, the data and the trainer; mmcontrast list recipes shows them all. Every constructor
    argument in it is also a flag, such as --model.weight_decay or --trainer.devices.

      mmcontrast fit simclr --data photos/ --out runs/photos
      mmcontrast fit smoke/clip --out runs/clip --model.lr 3e-4
      mmcontrast fit --resume --out runs/clip
      torchrun --nproc-per-node 8 -m mmcontrast fit simclr --data photos/ ...

    Note:
        The function is long because its signature holds the short options of all recipes.
    """
    recipe, extra = _separate(recipe, ctx.args)
    from mmcontrast.train.command import fit_recipe

    return fit_recipe(
        recipe,
        data=data,
        encoder=encoder,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        out=out,
        resume=resume,
        overwrite=overwrite,
        seed=seed,
        limit=limit,
        save_every=save_every,
        print_config=print_config,
        help_all=help_all,
        extra=extra,
    )


@pass_through
def validate(
    ctx: typer.Context,
    run: Annotated[str | None, Argument(metavar="RUN", help="Run directory, the --out of mmcontrast fit.")] = None,
) -> int:
    """Print the validation figures of a run.

    They are those of its last complete checkpoint. Every flag of the run's config can be changed, such as
    --data.batch_size.

      mmcontrast validate runs/clip-lite
    """
    run, extra = _separate(run, ctx.args)
    from mmcontrast.train.command import validate_run

    with redirect_stdout(io.StringIO()) as text:
        code = validate_run(run, extra)
    if code or not text.getvalue():  # ranks other than the first print nothing
        return code
    return report(model=str(run), data=str(run), metrics=json.loads(text.getvalue()), counts={})


def _separate(recipe: str | None, extra: list[str]) -> tuple[str | None, list[str]]:
    """Returns the recipe and the other flags; a flag that comes before every name is no recipe."""
    if recipe is not None and recipe.startswith("-"):
        return None, [recipe, *extra]
    return recipe, extra
