"""Name what is in images, with labels made up on the spot.  Alone: ``python apps/zero_shot.py --port 7861``."""

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
SETS = {"one": "photo", "seven (simple)": "simple", "eighty (openai80)": "openai80", "none, the label alone": "none"}
MOST_PROMPTS, MOST_IMAGES = 20_000, 200
NAMED = 3  # images that could not be read
PROGRESS = gr.Progress()


def build(name: str | None = None) -> None:
    """Puts the app into the page being built."""
    gr.Markdown("Give an image, say in words what it might show, one label a line, and see how likely each label is.")
    with gr.Row():
        with gr.Column():
            image = gr.Image(label="Image", sources=["upload", "webcam", "clipboard"], type="filepath", height=320)
            gr.Examples(PHOTOGRAPHS, image, label="Or try one of these", api_visibility="private")
            labels = gr.Textbox(LABELS, label="Labels, one a line", lines=6, max_lines=12)
            with gr.Accordion("Prompts and model", open=False):
                chosen = gr.Dropdown(list(SETS), value="seven (simple)", label="Sentences that a label is put into")
                prompts = gr.Textbox(_sentences("seven (simple)"), label="You can edit them; {} is the label", lines=4)
                named = model_field(name or default("clip-lite"))
        with gr.Column():
            guesses = gr.Label(label="How likely", num_top_classes=10)
            button = gr.Button("Classify", variant="primary")
            with gr.Accordion("Several images at once", open=False):
                files = gr.File(label="Images", file_count="multiple", file_types=["image"], height=140)
                several = gr.Button("Classify them all")
                widths: list[int | str] = ["37%", "26%", "37%"]
                headers = ["image", "label", "probability"]
                table = gr.Dataframe(headers=headers, column_widths=widths, interactive=False, wrap=True)
                unread = gr.Markdown()
                download = gr.File(label="Table as CSV, with the probability of every label", interactive=False)

    words = [labels, prompts, named]
    busy: dict[str, Any] = {"concurrency_id": "zero-shot", "concurrency_limit": 1, "preprocess": False}
    chosen.change(_sentences, chosen, prompts, api_visibility="private")
    button.click(classify, [image, *words], guesses, api_name="classify", **busy)
    image.change(_classify_if_any, [image, *words], guesses, api_visibility="private", **busy)
    several.click(classify_all, [files, *words], [table, download, unread], api_name="classify_all", **busy)
    files.change(lambda: (None, None, ""), None, [table, download, unread], api_visibility="private")


@one_sentence()
def classify(upload: Any, labels: str, prompts: str, name: str) -> dict[str, float]:
    """The probability of each label for one image."""
    image = read_image(upload)
    classifier = _classifier(name, _lines(labels, "label"), _lines(prompts, "prompt"))
    return dict(zip(classifier.labels, classifier(image)[0].tolist(), strict=True))


@one_sentence()
def classify_all(
    uploads: list[Any] | None, labels: str, prompts: str, name: str, progress: gr.Progress = PROGRESS
) -> tuple[list[list[Any]], str, str]:
    """The likeliest label of each image, a CSV file with the probabilities of all labels, and what was not read."""
    if len(uploads or []) > MOST_IMAGES:
        raise InputError(f"{len(uploads or [])} images are given; at most {MOST_IMAGES} are taken at once.")
    files = [path_of(upload) for upload in uploads or [None]]
    classifier = _classifier(name, _lines(labels, "label"), _lines(prompts, "prompt"))
    shown: list[list[Any]] = []
    unread: list[str] = []
    target = new_file("labels.csv")
    with target.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "label", "probability", "error", *classifier.labels])
        for number, file in enumerate(files):
            progress((number, len(files)), unit="images")
            try:
                scores = classifier(read_image(file))[0].tolist()
            except InputError as error:
                reason = without_folders(error).removeprefix(f"{Path(file).name}: ")
                unread.append(Path(file).name)
                rows.writerow([Path(file).name, "", "", reason])
                continue
            best = max(range(len(scores)), key=scores.__getitem__)
            shown.append([Path(file).name, classifier.labels[best], round(scores[best], 4)])
            rows.writerow([*shown[-1], "", *(f"{score:.6f}" for score in scores)])
    return shown, str(target), _unread(unread)


def _unread(names: list[str]) -> str:
    """A sentence that names the first images that could not be read; "" where all could."""
    more = f" + {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = ", ".join(f"`{name.replace('`', '')}`" for name in names[:NAMED])
    return f"Not read: {listed}{more}. The CSV says why." if names else ""


def _classify_if_any(upload: Any, *words: str) -> dict[str, float] | None:
    return classify(upload, *words) if upload else None


def _sentences(chosen: str) -> str:
    return "\n".join(TEMPLATES[SETS[chosen]]) if chosen in SETS else ""


def _lines(text: str, what: str) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in str(text or "").splitlines() if line.strip())
    if not lines:
        raise InputError(f"Write at least one {what}.")
    return lines


@lru_cache(8)
def _classifier(name: str, labels: tuple[str, ...], prompts: tuple[str, ...]) -> ZeroShotClassifier:
    if len(labels) * len(prompts) > MOST_PROMPTS:
        raise InputError(
            f"{len(labels)} labels in {len(prompts)} sentences are too many; at most {MOST_PROMPTS} in all."
        )
    return ZeroShotClassifier(model(name, "Give a CLIP, such as clip-lite."), labels, prompts, cache=False)
