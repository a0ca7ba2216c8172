"""``mmcontrast list``: what this installation can name."""

import ast
import importlib.metadata
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument

Rows = list[tuple[str, str]]
_PACKAGE = Path(__file__).parents[1]
# Base classes of what is listed; a class that derives from one of them in the same package is listed too.
_BASES = {"Dataset", "Encoder", "IterableDataset", "Method", "Module", "Predictor", "TextEncoder", "Tracker"}


def list_names(
    what: Annotated[
        Literal["recipes", "models", "methods", "encoders", "datasets", "predictors"] | None,
        Argument(metavar="WHAT", help="Kind of names: recipes, models, methods, encoders, datasets or predictors."),
    ] = None,
) -> int:
    """List recipes, models, methods, encoders, datasets and predictors.

    Without WHAT, all of them are listed.

      mmcontrast list recipes
    """
    for name, (title, rows) in TABLES.items():
        if what in (None, name):
            print(f"{title}\n{table(rows())}" + ("\n" if what is None else ""))
    return 0


def models() -> Rows:
    """Returns the bundled models with the size of their weights."""
    rows = []
    for path in sorted(_PACKAGE.glob("models/weights/*/model.safetensors")):
        card = path.with_name("README.md")
        about = first_sentence(card.read_text(encoding="utf-8")) if card.exists() else ""
        rows.append((path.parent.name, f"{path.stat().st_size / 2**20:.0f} MiB. {about}"))
    return rows


def classes(package: str, plugins: str = "") -> Rows:
    """Returns the public classes of a package with the first line of their docstring, without importing them.

    Args:
        package: Name of the package below mmcontrast.
        plugins: Group of entry points by which other packages add classes.
    """
    folder = _PACKAGE / package
    exported = _exported(folder / "__init__.pyi")
    nodes = [node for path in sorted(folder.rglob("*.py")) for node in ast.parse(path.read_text("utf-8")).body]
    defined = [node for node in nodes if isinstance(node, ast.ClassDef)]
    known, before = set(_BASES), 0
    while len(known) > before:
        before = len(known)
        known |= {node.name for node in defined if known & {_name(base) for base in node.bases}}
    rows = [(node.name, _first_line(node)) for node in defined if node.name in (known & exported) - _BASES]
    points = importlib.metadata.entry_points(group=plugins) if plugins else ()
    rows += [(point.name, f"From the package {point.dist.name if point.dist else point.module}.") for point in points]
    return sorted(set(rows))


def recipes() -> Rows:
    """Returns the recipes with the first line of their header."""
    spec = importlib.util.find_spec("mmcontrast.recipes")
    rows = []
    for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
        for path in sorted(folder.rglob("*.yaml")):
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            about = first.lstrip("# ").split("mmcontrast fit")[0].strip() if first.startswith("#") else ""
            rows.append((path.relative_to(folder).with_suffix("").as_posix(), about))
    return rows


TABLES: dict[str, tuple[str, Callable[[], Rows]]] = {
    "recipes": ("Recipes (mmcontrast fit RECIPE)", recipes),
    "models": ("Models (mmcontrast.load)", models),
    "methods": ("Methods", lambda: classes("methods", "mmcontrast.methods")),
    "encoders": ("Encoders", lambda: classes("encoders", "mmcontrast.encoders")),
    "datasets": ("Datasets and augmentations", lambda: classes("data")),
    "predictors": ("Predictors", lambda: classes("predict")),
}


def table(rows: Rows, width: int = 80) -> str:
    """Returns two columns, the second wrapped."""
    left = min(34, max((len(name) for name, _ in rows), default=0)) + 2
    lines: list[str] = []
    for name, about in rows:
        wrapped = textwrap.wrap(about, width - left - 2) or [""]
        if len(name) >= left:
            lines.append(f"  {name}")
            name = ""
        lines += [f"  {name:<{left}}{wrapped[0]}".rstrip(), *(f"  {'':<{left}}{line}" for line in wrapped[1:])]
    return "\n".join(lines)


def _name(base: ast.expr) -> str:
    """Returns Dataset for torch.utils.data.Dataset[dict]."""
    return ast.unparse(base).split("[")[0].split(".")[-1]


def _exported(stub: Path) -> set[str]:
    """Returns the public names of a stub file."""
    return set(_aliases(ast.parse(stub.read_text(encoding="utf-8"))))


def _aliases(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname for alias in node.names if alias.asname)


def _first_line(node: ast.ClassDef) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "").partition("\n")[0].replace("``", "")


def first_sentence(card: str) -> str:
    """Returns the first sentence of a model card's text: after the YAML header and the titles, over line breaks.

    >>> first_sentence("---\\nlicense: mit\\n---\\n# Net\\n\\nA small network\\nfor 3.5 s of sound.  It is fast.")
    'A small network for 3.5 s of sound.'
    """
    parts = card.split("---\n", 2)
    body = parts[2] if card.startswith("---\n") and len(parts) == 3 else card
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.sub(r"(?m)^#.*$", "\n", body).split("\n\n"))
    about = next((text for text in paragraphs if text and not text.startswith(("<", "|", "!"))), "")
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", about, maxsplit=1)[0]
