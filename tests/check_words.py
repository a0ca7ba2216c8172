"""Refuses identifiers and spellings that this project replaces by the words of the field (``make check`` runs it).

    python tests/check_words.py

An identifier is refused where it is defined: as a function, class, argument, variable, attribute or file of
``mmcontrast``, ``apps`` or ``data_scripts``.  Text is refused wherever it stands: in code, documentation and recipes.
To extend the list, add a line to ``WORDS``, ``NAMES`` or ``SPELLINGS``.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A word of an identifier (``place`` in ``first_place``) and what to write instead.
WORDS = {
    "picture": "image",
    "pictures": "images",
    "film": "video",
    "films": "videos",
    "place": "index or position",
    "places": "indices or positions",
    "share": "fraction",
    "shares": "fractions",
    "found": "what it is, such as scores or matches",
    "kept": "what it is, such as selected",
    "made": "what it is, such as model",
    "shadow": "ema_copy",
    "follow": "ema_update",
    "shown": "what it is, such as panels",
    "told": "what it is, such as warned",
}

# A whole identifier and what to write instead.
NAMES = {
    "where": "index or mask",
    "face": "output, pooled or grid",
    "fine": "for_dense_tasks",
    "world": "get_rank or world_size",
    "unit": "l2_normalize, or what the unit is of",
    "spread": "feature_std",
    "words": "random_bits, or what the words are",
    "fold": "derive_key, or split",
    "mix": "hash64",
    "Future": "FuturePredictionHead",
    "Joined": "ConcatEncoder",
    "Noise": "RandomDescriptors",
    "StandStill": "IdentityTracker",
    "CycleWalk": "ContrastiveRandomWalk",
    "spare": "refuse_to_overwrite",
    "guard": "nonfinite_guard",
    "failure": "errors",
    "lock": "freeze",
    "unlock_layers": "trainable_layers",
    "run_dir": "out",
    "_wide": "at_least_float32",
    "_precise": "at_least_float32",
}

# A pattern in any text and what to write instead.
SPELLINGS = {
    r"pictures?": "image",
    r"films?": "video",
    r"colou(?:r|red|rs|ring|rful)": "color",
    r"centr(?:e|es|ed|ing)": "center",
    r"grey(?:s|scale)?": "gray",
    r"neighbour(?:s|ing|hood)?": "neighbor",
    r"behaviour": "behavior",
    r"favour(?:s|ed|ite)?": "favor",
    r"(?:milli|kilo|centi)?metres?": "meter",
    r"(?:un|re)?labell(?:ed|ing)": "labeled",
    r"(?:optim|normal|initial|recogn|regular|general|minim|maxim|standard|quant|organ|summar|visual|special|solar)"
    r"is(?:e|es|ed|er|ers|ing|ation|ations)": "the spelling with z",
}

_SPELLINGS = {re.compile(rf"\b{pattern}\b", re.IGNORECASE): wanted for pattern, wanted in SPELLINGS.items()}
_CODE = ("mmcontrast", "apps", "data_scripts")
_TEXT = ("*.py", "*.pyi", "*.md", "*.yaml", "*.toml")


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yields every identifier that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno


def parts(name: str) -> list[str]:
    """Splits an identifier into its words: ``KeptFrames_of`` gives ``kept``, ``frames`` and ``of``."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def identifier_problems(file: Path) -> Iterator[str]:
    """Yields a message for each refused identifier of a Python file."""
    label = file.relative_to(ROOT)
    for name, line in [*defined_names(ast.parse(file.read_text(encoding="utf-8"))), (file.stem, 1)]:
        if name in NAMES:
            yield f"{label}:{line}: {name}: write {NAMES[name]}"
        yield from (f"{label}:{line}: {name}: write {WORDS[word]}" for word in parts(name) if word in WORDS)


def text_problems(file: Path) -> Iterator[str]:
    """Yields a message for each refused spelling of a text file."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        for pattern, wanted in _SPELLINGS.items():
            if (match := pattern.search(line)) and "http" not in line:
                yield f"{file.relative_to(ROOT)}:{number}: {match.group()}: write {wanted}"


def main() -> int:
    """Prints every problem; returns 1 where there is one."""
    problems: list[str] = []
    for folder in _CODE:
        for file in sorted((ROOT / folder).rglob("*.py")):
            problems += identifier_problems(file)
    for folder in (*_CODE, "configs", "docs", "examples", "tests", ".github"):
        for file in sorted(file for pattern in _TEXT for file in (ROOT / folder).rglob(pattern)):
            if file != Path(__file__):
                problems += text_problems(file)
    for file in sorted(ROOT.glob("*.md")):
        problems += text_problems(file)
    print(*dict.fromkeys(problems), sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
