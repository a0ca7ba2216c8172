"""``mmcontrast eval``: one command per evaluation."""

import argparse
import importlib
from typing import Any, ClassVar

import typer

from mmcontrast.cli.commands import LazyGroup, PassThrough


class Eval(LazyGroup):
    """Measure a model on labeled data.

    Each evaluation prints its figures as JSON.
    """

    targets: ClassVar[dict[str, str]] = {
        "knn": "eval_classification:knn",
        "probe": "eval_classification:probe",
        "few-label": "eval_classification:few_label",
        "segment": "eval_segmentation:segment",
        "sound-probe": "eval_sound:sound_probe",
        "zero-shot": "eval_image_text:zero_shot",
        "retrieval": "eval_image_text:retrieval",
        "davis": "eval_video:davis",
        "keypoints": "eval_video:keypoints",
        "dense": "eval_dense:dense",
        "correspondence": "eval_dense:correspondence",
        "colorize": "eval_colorization:colorize",
    }

    def get_command(self, ctx: typer.Context | None, cmd_name: str) -> Any:  # type: ignore[override]
        """Imports a command; modules that have only parsers yet are run through these."""
        module, _, function = self.targets.get(cmd_name, "eval:").partition(":")
        add = getattr(importlib.import_module(f"mmcontrast.cli.{module}"), f"add_{function}", None)
        if add is None:
            return super().get_command(ctx, cmd_name)

        class Parser(PassThrough):
            def invoke(self, ctx: Any) -> int:
                parser = argparse.ArgumentParser("mmcontrast eval")
                add(parser.add_subparsers())
                args = parser.parse_args([cmd_name, *ctx.args])
                return int(args.run(args))

        return Parser(cmd_name, help=add.__doc__, add_help_option=False)
