"""``mmcontrast fit`` and ``mmcontrast validate``: bridges to ``mmcontrast.train``."""

import argparse

import typer

from mmcontrast.cli.commands import pass_through


@pass_through
def fit(ctx: typer.Context) -> int:
    """Train a method from a config."""
    return _run("fit", ctx.args)


@pass_through
def validate(ctx: typer.Context) -> int:
    """Print the validation figures of a run."""
    return _run("validate", ctx.args)


def _run(name: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(f"mmcontrast {name}", allow_abbrev=False)
    parser.add_argument("--run-dir")
    if name == "fit":
        parser.add_argument("--help-all", action="store_true")
        parser.add_argument("--resume", action="store_true")
        parser.add_argument("--overwrite", action="store_true")
        parser.add_argument("--save-every", type=int, default=1000)
    args, rest = parser.parse_known_args(arguments)
    from mmcontrast.train import cli

    return cli.run(name, args, rest)
