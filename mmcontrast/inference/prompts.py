"""Labels to class vectors: prompts from templates, embedded in batches, averaged per label, cached on disk."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from mmcontrast.data.datasets.prompt_templates import TEMPLATES as TEMPLATES
from mmcontrast.data.datasets.prompt_templates import templates as read_templates
from mmcontrast.encoders.base import Tokenizer
from mmcontrast.errors import InputError
from mmcontrast.inference.cache import cache_directory, content_key, fingerprint, load_array, save_array
from mmcontrast.methods.clip import CLIP

PROMPT_BATCH = 256
CACHE_BYTES = 256 << 20  # limit of the label vectors that are stored between runs
NONE_OF_THESE = "none of these"
# Captions that fit any image. Their mean competes with the labels. With clip-lite and one class name at a time, 79 % of
# 400 CIFAR-10 images of the class and 80 % of the others fall on the right side.
ANY_IMAGE = ("a photo.", "an image.", "an image of something.", "a photo of a scene.", "an object.", "a photograph.")
Labels = Sequence[str] | Mapping[str, Sequence[str]]
Templates = str | Path | Sequence[str]


class PromptSet:
    """Checked labels and their prompts.

    Args:
        labels: Names, which fill the templates, or {name: its prompts}.
        templates: The name of a set, a file, or sentences with ``{}``. A mapping of labels does not use them.
        none_of_these: Whether to add the label "none of these". None adds it if there is one label only.

    Raises:
        InputError: There is no label, or a label is empty, comes twice or has no prompts.
    """

    def __init__(self, labels: Labels, templates: Templates = "simple", none_of_these: bool | None = False) -> None:
        if isinstance(labels, str):
            raise InputError(f"labels {labels!r} is one string; give a list of labels, such as {labels.split(',')}")
        self.labels = list(labels)
        self.prompts = {name: list(labels[name]) for name in labels} if isinstance(labels, Mapping) else None
        self.templates = () if self.prompts is not None else read_templates(templates)
        if none_of_these or (none_of_these is None and len(self.labels) == 1):
            self.labels.append(NONE_OF_THESE)
        _check_labels(self.labels)
        if isinstance(labels, Mapping):
            for label, prompts in labels.items():
                _check_prompts(label, prompts)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Yields (index of the label, prompt), label by label."""
        for index, label in enumerate(self.labels):
            yield from ((index, prompt) for prompt in self._prompts_of(label))

    def _prompts_of(self, label: str) -> Iterable[str]:
        if label == NONE_OF_THESE:
            return ANY_IMAGE
        if self.prompts is not None:
            return self.prompts[label]
        return (template.replace("{}", label.strip()) for template in self.templates)

    def check_length(self, tokenizer: Tokenizer) -> None:
        """Refuses labels with a prompt that the tokenizer would cut.

        Raises:
            InputError: A prompt is too long; the message names the label and the number of tokens.
        """
        limit = tokenizer.context_length
        for index, prompt in self:
            # No tokenizer makes more tokens than bytes, and a few that mark the ends: most prompts need no counting.
            if len(prompt.encode()) + 4 > limit and (needed := tokenizer.count(prompt)) > limit:
                label = self.labels[index]
                name = label if len(label) <= 60 else label[:57] + "..."
                raise InputError(
                    f"label {name!r} needs {needed} tokens in the prompt {prompt[:60]!r}..., but the model reads "
                    f"{limit}; shorten the label or the template"
                )


def _check_labels(labels: Sequence[str]) -> None:
    if not labels:
        raise InputError("no labels; give at least one")
    first_number: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"label {number} of {len(labels)} is empty: {label!r}")
        if re.search("[\ud800-\udfff]", label):
            raise InputError(f"label {number} of {len(labels)} is not UTF-8 text: {label!r}")
        if (earlier := first_number.setdefault(label.strip(), number)) != number:
            raise InputError(f"label {label!r} is given twice, as label {earlier} and label {number}")


def _check_prompts(label: str, prompts: Sequence[str]) -> None:
    is_list = isinstance(prompts, Sequence) and not isinstance(prompts, str)
    if not is_list or not prompts or not all(isinstance(p, str) and p.strip() for p in prompts):
        raise InputError(f"label {label!r} needs a list of one or more non-empty prompts, got {prompts!r}")


def embed_prompts(
    model: CLIP, prompts: PromptSet, device: torch.device | str = "cpu", cache: Path | bool = True
) -> Tensor:
    """Returns one unit vector per label: the mean of its prompts' unit vectors, normalized (CLIP, section 3.1.4).

    Args:
        model: The model, on ``device``.
        prompts: Labels and prompts.
        device: Where the model runs.
        cache: A folder, True for the user's cache folder, False for none. The cache's key is the content of the text
            encoder, the prompts, and how the tokenizer reads the first of them.

    Returns:
        (C, D) float32 on ``device``.

    Raises:
        InputError: A prompt is longer than the model reads.
    """
    prompts.check_length(model.text_encoder.tokenizer)
    file = None
    if cache is not False:
        folder = cache_directory() if cache is True else Path(cache)
        file = folder / "labels" / f"{_key(model, prompts)}.npy"
        if (stored := load_array(file)) is not None and len(stored) == len(prompts.labels):
            return stored.to(device)
    vectors = _mean_directions(model, prompts)
    if file is not None:
        save_array(file, vectors, CACHE_BYTES)
    return vectors


@torch.inference_mode()
def _mean_directions(model: CLIP, prompts: PromptSet) -> Tensor:
    sums: Tensor | None = None
    for chunk in _chunks(prompts, 16 * PROMPT_BATCH):
        chunk.sort(key=lambda entry: len(entry[1]))  # batches of texts of similar length need little padding
        for batch in _chunks(chunk, PROMPT_BATCH):
            indices, texts = zip(*batch, strict=True)
            embedded = model.embed_text(texts).float()  # (B, D)
            if sums is None:
                sums = embedded.new_zeros(len(prompts.labels), embedded.shape[1])  # (C, D)
            sums.index_add_(0, torch.tensor(indices, device=embedded.device), embedded)
    assert sums is not None  # a prompt set has at least one label with a prompt
    return sums.div_(sums.norm(dim=1, keepdim=True).clamp_min(1e-12))  # in place: there may be many labels


def _key(model: CLIP, prompts: PromptSet) -> str:
    tokenizer = model.text_encoder.tokenizer
    probe = tokenizer([prompt for _, prompt in islice(prompts, 64)])
    return content_key(
        [
            "labels 1",
            fingerprint(model, leave_out=model.encoder),
            f"{type(tokenizer).__qualname__} {tokenizer.context_length} {probe.tolist()}",
            *(f"{index} {prompt}" for index, prompt in prompts),
        ]
    )


def _chunks(entries: Iterable[tuple[int, str]], size: int) -> Iterator[list[tuple[int, str]]]:
    iterator = iter(entries)
    while chunk := list(islice(iterator, size)):
        yield chunk
