"""``mmcontrast predict zero-shot``: label images by words."""

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from mmcontrast.cli.options import (
    BatchSize,
    Device,
    Dtype,
    Model,
    Out,
    Overwrite,
    Paths,
    Resolution,
    SafeCSV,
    Templates,
    split,
)
from mmcontrast.cli.output import OutputFolder, make_writable, output_folder
from mmcontrast.cli.prediction_table import FORMATS, Row, open_table
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import progress, say
from mmcontrast.errors import InputError


def zero_shot(
    paths: Paths,
    labels: Annotated[str | None, Option(metavar="LABEL,...", help="Labels with commas between.")] = None,
    labels_file: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help='File with one label a line; or a .json file with a list, or with {"label": ["prompt", ...]}.',
        ),
    ] = None,
    model: Model = "clip-lite",
    out: Out = None,
    overwrite: Overwrite = False,
    top: Annotated[int, Option(metavar="K", min=1, help="Number of labels in a row, the most probable first.")] = 1,
    all_scores: Annotated[bool, Option("--all-scores", help="Give the score of every label.")] = False,
    templates: Templates = "simple",
    none_of_these: Annotated[
        bool,
        Option("--none-of-these", help='Add the label "none of these"; a single label always competes with it.'),
    ] = False,
    safe_csv: SafeCSV = False,
    batch_size: BatchSize = 64,
    resolution: Resolution = None,
    dtype: Dtype = "float32",
    device: Device = None,
) -> int:
    """Label images by words.

    The table has one row per file: path, label, score, error. It goes to stderr; to predictions.csv of the folder
    --out; or to the file --out whose name ends in .csv or .jsonl.

      mmcontrast predict zero-shot --labels "cat,dog" --out labels.csv photos/
    """
    names = _labels(labels, labels_file)

    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.zero_shot import ZeroShotClassifier

    if not (files := image_files(*paths)):
        raise InputError(f"no images in {', '.join(paths)}")
    folder, file = _destination(out, overwrite, paths)
    classify = ZeroShotClassifier(
        model,
        names,
        device=device,
        batch_size=batch_size,
        resolution=resolution,
        dtype=dtype,
        templates=templates,
        none_of_these=none_of_these or None,
    )
    errors, top = 0, min(top, len(classify.labels))
    table = file or (folder / "predictions.csv" if folder else None)
    with open_table(table, classify.labels if all_scores else [], top, safe_csv) as write:
        for result in progress(classify.stream(files), len(files), "image", visible=table is not None):
            path = str(result.item)
            if result.value is None:
                write(Row(path, error=(result.error or "").removeprefix(f"{path}: ")))
                errors += 1
            else:
                write(Row(path, result.value.top(top), result.value.probabilities.tolist() if all_scores else []))
    if table:
        say(f"wrote {len(files)} rows to {table}.")
    if errors:
        column = f"the error column of {table}" if table else "the table"
        say(f"{errors} of {len(files)} files could not be read; see {column}.")
    counts = {"images": len(files), "errors": errors}
    return report(model=model, data=paths, metrics={}, counts=counts, out=folder)


def _labels(labels: str | None, labels_file: str | None) -> list[str] | dict[str, list[str]]:
    """Returns the labels of the two options."""
    if (labels is None) == (labels_file is None):
        raise InputError('give the labels, either by --labels "cat,dog" or by --labels-file FILE')
    return split(labels) if labels is not None else read_labels(Path(str(labels_file)))


def _destination(out: Path | None, overwrite: bool, inputs: list[str]) -> tuple[OutputFolder | None, Path | None]:
    """Returns the folder or the file that ``--out`` names."""
    if out is None or (out.suffix.lower() not in FORMATS and (out.is_dir() or not out.suffix)):
        return output_folder(out, overwrite, inputs), None
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {out}: the name must end in .csv or .jsonl, or be that of a folder")
    if out.exists() and (not overwrite or not out.is_file()):
        raise InputError(f"--out {out}: is there already; add --overwrite to replace it")
    make_writable(out.parent, out)
    return None, out


def read_labels(file: Path) -> list[str] | dict[str, list[str]]:
    """Returns the labels of a file: one a line, or JSON with a list of labels or {label: [prompt, ...]}.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels file {file}: cannot be read as UTF-8 text ({error})") from error
    if file.suffix.lower() != ".json":
        return [line.strip() for line in text.rstrip().splitlines()]
    try:
        labels = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"labels file {file}: no valid JSON ({error})") from error
    lists = labels if isinstance(labels, dict) else {"": labels}
    for label, texts in lists.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            needs = f"{label!r} needs a list of prompts" if label else "wanted a list of strings"
            raise InputError(f"labels file {file}: {needs}; give a list of labels or {{label: [prompt, ...]}}")
    return labels  # type: ignore[no-any-return]
