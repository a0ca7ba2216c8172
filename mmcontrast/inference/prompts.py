"""Labels to class vectors: prompts from templates, embedded in a stream, averaged per label, cached on disk."""

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
CACHE_BYTES = 256 << 20  # of label vectors kept between runs
Labels = Sequence[str] | Mapping[str, Sequence[str]]
Templates = str | Path | Sequence[str]


class PromptSet:
    """Checked labels and their prompts.

    Args:
        labels: names, which fill the templates, or {name: its prompts}.
        templates: a set's name, a file, or sentences with ``{}``; not used for a mapping.
    Raises:
        InputError: for no label, an empty or a duplicate one, or one without prompts.
    """

    def __init__(self, labels: Labels, templates: Templates = "simple") -> None:
        if isinstance(labels, str):
            raise InputError(f"labels {labels!r} is one string; give a list of labels, such as {labels.split(',')}")
        self.labels = list(labels)
        self.prompts = dict(labels) if isinstance(labels, Mapping) else None
        self.templates = () if self.prompts is not None else read_templates(templates)
        if not self.labels:
            raise InputError("no labels; give at least one")
        first_place: dict[str, int] = {}
        for place, label in enumerate(self.labels, 1):
            if not isinstance(label, str) or not label.strip():
                raise InputError(f"label {place} of {len(self.labels)} is empty: {label!r}")
            if re.search("[\ud800-\udfff]", label):
                raise InputError(f"label {place} of {len(self.labels)} is not UTF-8 text: {label!r}")
            if (earlier := first_place.setdefault(label.strip(), place)) != place:
                raise InputError(f"label {label!r} is given twice, as label {earlier} and label {place}")
            if self.prompts is not None:
                own = self.prompts[label]
                listed = isinstance(own, Sequence) and not isinstance(own, str)
                if not listed or not own or not all(isinstance(p, str) and p.strip() for p in own):
                    raise InputError(f"label {label!r} needs a list of one or more non-empty prompts, got {own!r}")

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """(place of the label, prompt), label by label; never held as a whole."""
        for place, label in enumerate(self.labels):
            if self.prompts is not None:
                yield from ((place, prompt) for prompt in self.prompts[label])
            else:
                yield from ((place, template.replace("{}", label.strip())) for template in self.templates)

    def check_length(self, tokenizer: Tokenizer) -> None:
        """Refuses labels with a prompt that the tokenizer would cut, naming the label and the token counts."""
        longest = tokenizer.context_length
        for place, prompt in self:
            # No tokenizer makes more tokens than bytes, and a few that mark the ends: most prompts need no counting.
            if len(prompt.encode()) + 4 > longest and (needed := tokenizer.count(prompt)) > longest:
                label = self.labels[place]
                shown = label if len(label) <= 60 else label[:57] + "..."
                raise InputError(
                    f"label {shown!r} needs {needed} tokens in the prompt {prompt[:60]!r}..., but the model reads "
                    f"{longest}; shorten the label or the template"
                )


def embed_prompts(
    model: CLIP, prompts: PromptSet, device: torch.device | str = "cpu", cache: Path | bool = True
) -> Tensor:
    """One unit vector per label: the mean of its prompts' unit vectors, normalized (CLIP, section 3.1.4).

    Args:
        cache: a folder, True for the user's cache folder, False for none.  The key is the text tower's content, the
            prompts, and how the tokenizer reads the first of them.
    Returns:
        (C, D) float32 on ``device``.
    """
    prompts.check_length(model.text_encoder.tokenizer)
    file = None
    if cache is not False:
        folder = cache_directory() if cache is True else Path(cache)
        file = folder / "labels" / f"{_key(model, prompts)}.npy"
        if (known := load_array(file)) is not None and len(known) == len(prompts.labels):
            return known.to(device)
    vectors = _mean_directions(model, prompts, device)
    if file is not None:
        save_array(file, vectors, CACHE_BYTES)
    return vectors


@torch.inference_mode()
def _mean_directions(model: CLIP, prompts: PromptSet, device: torch.device | str) -> Tensor:
    sums: Tensor | None = None
    for chunk in _chunks(prompts, 16 * PROMPT_BATCH):
        chunk.sort(key=lambda item: len(item[1]))  # batches of like length need little padding
        for batch in _chunks(chunk, PROMPT_BATCH):
            places, texts = zip(*batch, strict=True)
            tokens = model.text_encoder.tokenizer(texts).to(device)  # (B, L)
            embedded = model.embed_text(tokens)  # (B, D)
            if sums is None:
                sums = embedded.new_zeros(len(prompts.labels), embedded.shape[1])  # (C, D)
            sums.index_add_(0, torch.tensor(places, device=embedded.device), embedded)
    assert sums is not None  # a prompt set holds at least one label with a prompt
    return sums.div_(sums.norm(dim=1, keepdim=True).clamp_min(1e-12))  # in place: there may be many labels


def _key(model: CLIP, prompts: PromptSet) -> str:
    tokenizer = model.text_encoder.tokenizer
    probe = tokenizer([prompt for _, prompt in islice(prompts, 64)])
    return content_key(
        [
            "labels 1",
            fingerprint(model, leave_out=model.encoder),
            f"{type(tokenizer).__qualname__} {tokenizer.context_length} {probe.tolist()}",
            *(f"{place} {prompt}" for place, prompt in prompts),
        ]
    )


def _chunks(items: Iterable[tuple[int, str]], size: int) -> Iterator[list[tuple[int, str]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
