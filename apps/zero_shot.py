"""The tab Zero-shot: classify images by labels that you write."""

import csv
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from mmcontrast.errors import InputError
from mmcontrast.inference.prompts import TEMPLATES
from mmcontrast.predict.zero_shot import ZeroShotClassifier

from .media import PHOTOGRAPHS
from .page import default, model, model_field, one_sentence, without_folders
from .uploads import new_file, path_of, read_image

TITLE = "Zero-shot"
LABELS = "big cat\nlion\nhouse cat\ndog\ntower\npagoda\nbridge\nbeach\nflower\ntree"
PROMPT_SETS = {
    "one": "photo",
    "seven (simple)": "simple",
    "eighty (openai80)": "openai80",
    "none, the label alone": "none",
}
MAX_PROMPTS, MAX_IMAGES = 20_000, 200
MAX_NAMED = 3  # unreadable images that are named below the table
PROGRESS = gr.Progress()


def build(name: str | None = None) -> None:
    """Adds the tab to the page that is being built.

    Args:
        name: Model to start with. None stands for the bundled one.
    """
    gr.Markdown("Give an image and write labels, one per line. The chart shows how likely each label is.")
    with gr.Row():
        with gr.Column():
            image = gr.Image(label="Image", sources=["upload", "webcam", "clipboard"], type="filepath", height=320)
            gr.Examples(PHOTOGRAPHS, image, label="Or try one of these", api_visibility="private")
            labels = gr.Textbox(LABELS, label="Labels, one per line or separated by commas", lines=6, max_lines=12)
            with gr.Accordion("Prompts and model", open=False):
                chosen = gr.Dropdown(list(PROMPT_SETS), value="seven (simple)", label="Number of prompts per label")
                prompts = gr.Textbox(
                    _prompt_lines("seven (simple)"), label="Prompts, one per line; {} stands for the label", lines=4
                )
                model_name = model_field(name or default("clip-lite"))
        with gr.Column():
            probabilities = gr.Label(label="Probability of each label", num_top_classes=10)
            button = gr.Button("Classify", variant="primary")
            with gr.Accordion("Several images at once", open=False):
                files = gr.File(label="Images", file_count="multiple", file_types=["image"], height=140)
                several = gr.Button("Classify all of them")
                widths: list[int | str] = ["37%", "26%", "37%"]
                headers = ["image", "label", "probability"]
                table = gr.Dataframe(headers=headers, column_widths=widths, interactive=False, wrap=True)
                unread = gr.Markdown()
                download = gr.File(label="Table as CSV, with the probability of every label", interactive=False)

    settings = [labels, prompts, model_name]
    busy: dict[str, Any] = {"concurrency_id": "zero-shot", "concurrency_limit": 1, "preprocess": False}
    chosen.change(_prompt_lines, chosen, prompts, api_visibility="private")
    button.click(classify, [image, *settings], probabilities, api_name="classify", **busy)
    image.change(_classify_if_any, [image, *settings], probabilities, api_visibility="private", **busy)
    several.click(classify_all, [files, *settings], [table, download, unread], api_name="classify_all", **busy)
    files.change(lambda: (None, None, ""), None, [table, download, unread], api_visibility="private")


@one_sentence()
def classify(upload: Any, labels: str, prompts: str, name: str) -> dict[str, float]:
    """Returns the probability of each label for one image.

    Args:
        upload: The image.
        labels: Labels, one per line, or one line of labels with commas between them.
        prompts: Prompts, one per line, in which {} stands for the label.
        name: The model.
    """
    image = read_image(upload)
    classifier = _classifier(name, _labels(labels), _lines(prompts, "prompt"))
    return dict(zip(classifier.labels, classifier.probabilities(image)[0].tolist(), strict=True))


@one_sentence()
def classify_all(
    uploads: list[Any] | None, labels: str, prompts: str, name: str, progress: gr.Progress = PROGRESS
) -> tuple[list[list[Any]], str, str]:
    """Classifies several images.

    Args:
        uploads: The images.
        labels: Labels, one per line, or one line of labels with commas between them.
        prompts: Prompts, one per line, in which {} stands for the label.
        name: The model.
        progress: Gradio's progress bar.

    Returns:
        Rows of image, most likely label and probability; a CSV file with the probabilities of all labels; and a
        sentence about images that could not be read.
    """
    if len(uploads or []) > MAX_IMAGES:
        raise InputError(f"{len(uploads or [])} images are given; at most {MAX_IMAGES} are possible at once.")
    files = [path_of(upload) for upload in uploads or [None]]
    classifier = _classifier(name, _labels(labels), _lines(prompts, "prompt"))
    table: list[list[Any]] = []
    unread: list[str] = []
    target = new_file("labels.csv")
    with target.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "label", "probability", "error", *classifier.labels])
        for number, file in enumerate(files):
            progress((number, len(files)), unit="images")
            try:
                scores = classifier.probabilities(read_image(file))[0].tolist()
            except InputError as error:
                reason = without_folders(error).removeprefix(f"{Path(file).name}: ")
                unread.append(Path(file).name)
                rows.writerow([Path(file).name, "", "", reason])
                continue
            best = max(range(len(scores)), key=scores.__getitem__)
            table.append([Path(file).name, classifier.labels[best], round(scores[best], 4)])
            rows.writerow([*table[-1], "", *(f"{score:.6f}" for score in scores)])
    return table, str(target), _unread(unread)


def _unread(names: list[str]) -> str:
    """Returns a sentence that names the first images that could not be read, or an empty text."""
    more = f" + {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    listed = ", ".join(f"`{name.replace('`', '')}`" for name in names[:MAX_NAMED])
    return f"Not read: {listed}{more}. The CSV says why." if names else ""


def _classify_if_any(upload: Any, labels: str, prompts: str, name: str) -> dict[str, float] | None:
    return classify(upload, labels, prompts, name) if upload else None


def _prompt_lines(chosen: str) -> str:
    return "\n".join(TEMPLATES[PROMPT_SETS[chosen]]) if chosen in PROMPT_SETS else ""


def _labels(text: str) -> tuple[str, ...]:
    """Reads labels: one per line, or, as on the command line, one line with commas between them."""
    lines = _lines(text, "label")
    return _lines(lines[0].replace(",", "\n"), "label") if len(lines) == 1 else lines


def _lines(text: str, what: str) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in str(text or "").splitlines() if line.strip())
    if not lines:
        raise InputError(f"Write at least one {what}.")
    return lines


@lru_cache(8)
def _classifier(name: str, labels: tuple[str, ...], prompts: tuple[str, ...]) -> ZeroShotClassifier:
    if len(labels) * len(prompts) > MAX_PROMPTS:
        raise InputError(
            f"{len(labels)} labels with {len(prompts)} prompts each are too many; at most {MAX_PROMPTS} in all."
        )
    clip = model(name, "Give a CLIP model, such as clip-lite.")
    return ZeroShotClassifier(clip, labels, templates=prompts, cache=False)
