"""Sentences that turn a class name into captions, and the reader for lists of class names."""

from collections.abc import Sequence
from pathlib import Path

from mmcontrast.data.datasets.class_names import with_wordnet_ids
from mmcontrast.errors import InputError

# The seven that CLIP's authors found to do nearly as well as all eighty.
SIMPLE = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

# The eighty for ImageNet of "Learning Transferable Visual Models From Natural Language Supervision" (2103.00020).
OPENAI80 = tuple(
    """
a bad photo of a {}.
a photo of many {}.
a sculpture of a {}.
a photo of the hard to see {}.
a low resolution photo of the {}.
a rendering of a {}.
graffiti of a {}.
a bad photo of the {}.
a cropped photo of the {}.
a tattoo of a {}.
the embroidered {}.
a photo of a hard to see {}.
a bright photo of a {}.
a photo of a clean {}.
a photo of a dirty {}.
a dark photo of the {}.
a drawing of a {}.
a photo of my {}.
the plastic {}.
a photo of the cool {}.
a close-up photo of a {}.
a black and white photo of the {}.
a painting of the {}.
a painting of a {}.
a pixelated photo of the {}.
a sculpture of the {}.
a bright photo of the {}.
a cropped photo of a {}.
a plastic {}.
a photo of the dirty {}.
a jpeg corrupted photo of a {}.
a blurry photo of the {}.
a photo of the {}.
a good photo of the {}.
a rendering of the {}.
a {} in a video game.
a photo of one {}.
a doodle of a {}.
a close-up photo of the {}.
a photo of a {}.
the origami {}.
the {} in a video game.
a sketch of a {}.
a doodle of the {}.
a origami {}.
a low resolution photo of a {}.
the toy {}.
a rendition of the {}.
a photo of the clean {}.
a photo of a large {}.
a rendition of a {}.
a photo of a nice {}.
a photo of a weird {}.
a blurry photo of a {}.
a cartoon {}.
art of a {}.
a sketch of the {}.
a embroidered {}.
a pixelated photo of a {}.
itap of the {}.
a jpeg corrupted photo of the {}.
a good photo of a {}.
a plushie {}.
a photo of the nice {}.
a photo of the small {}.
a photo of the weird {}.
the cartoon {}.
art of the {}.
a drawing of the {}.
a photo of the large {}.
a black and white photo of a {}.
the plushie {}.
a dark photo of a {}.
itap of a {}.
graffiti of the {}.
a toy {}.
itap of my {}.
a photo of a cool {}.
a photo of a small {}.
a tattoo of the {}.
""".strip().splitlines()
)

TEMPLATES = {"none": ("{}",), "photo": ("a photo of a {}.",), "simple": SIMPLE, "openai80": OPENAI80}


def templates(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The sentences meant by a set's name, a file with one a line, or the sentences themselves.

    Raises:
        InputError: no such set or file, no sentences, or one without exactly one ``{}``.
    """
    if isinstance(given, str | Path):
        if str(given) in TEMPLATES:
            return TEMPLATES[str(given)]
        if not Path(given).is_file():
            raise InputError(f"templates {str(given)!r}: neither a file nor one of {', '.join(TEMPLATES)}")
        sentences = tuple(_lines(given))
    else:
        sentences = tuple(given)
    wrong = [sentence for sentence in sentences if sentence.count("{}") != 1]
    if not sentences or wrong:
        raise InputError(f"template {wrong[0]!r}: wanted exactly one {{}}" if wrong else f"{given}: holds no templates")
    return sentences


def read_classnames(path: str | Path) -> list[str] | dict[str, str]:
    """Reads class names from a file.

    Returns:
        One name per line, or a mapping if all lines are ``FOLDER<TAB>NAME`` or a WordNet id and a name.

    Raises:
        InputError: There is no such file, or it holds no names.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file of class names")
    lines = _lines(path)
    if not lines:
        raise InputError(f"{path}: holds no class names")
    pairs = [line.split("\t") for line in lines]
    if all(len(pair) == 2 for pair in pairs):
        return {pair[0]: pair[1] for pair in pairs}
    return with_wordnet_ids(lines) or lines


def _lines(path: str | Path) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
