"""``mmcontrast list``: what this installation can name."""

import argparse
import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
BASES = ("Dataset", "Module", "Encoder", "TextEncoder", "Method")
LAYERS = (("Methods", "methods"), ("Encoders", "encoders"), ("Data sets and augmentations", "data"))


def run(args: argparse.Namespace) -> int:
    """Prints a table of names and what they are; imports nothing heavy."""
    tables = [("Models (mmcontrast.load)", list(models()))]
    tables += [(title, list(classes(PACKAGE / folder))) for title, folder in LAYERS]
    tables += [("Configs (mmcontrast fit -c)", list(configs(Path("configs"))))]
    for title, rows in tables:
        if rows:
            print(f"{title}\n{table(rows)}\n")
    return 0


def models() -> Iterator[tuple[str, str]]:
    """Bundled models with the size of their weights."""
    for path in sorted(PACKAGE.glob("weights/*/model.safetensors")):
        card = (path.parent / "README.md").read_text() if (path.parent / "README.md").exists() else ""
        about = next((line for line in _body(card) if line and not line.startswith(("#", "<", "|"))), "")
        yield path.parent.name, f"{path.stat().st_size / 2**20:.0f} MiB.  {about}"


def classes(folder: Path) -> Iterator[tuple[str, str]]:
    """Names that a config can use, with the first line of their docstring, read without importing them."""
    exported = _exported(folder / "__init__.py")
    files = [path for path in sorted(folder.glob("*.py")) if path.name != "base.py"]
    found = [node for path in files for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    known, before = {*BASES}, 0
    while len(known) > before:
        before = len(known)
        known |= {node.name for node in found if known & {_name(base) for base in node.bases}}
    for node in found:
        if node.name in known & exported:
            yield node.name, inspect.cleandoc(ast.get_docstring(node) or "").split("\n")[0].replace("``", "")


def configs(folder: Path) -> Iterator[tuple[str, str]]:
    """Config files below the working directory, with the first line of their header."""
    for path in sorted(folder.rglob("*.yaml")):
        first = path.read_text().split("\n", 1)[0]
        yield str(path), first.lstrip("# ").split("mmcontrast fit")[0].strip() if first.startswith("#") else ""


def table(rows: list[tuple[str, str]], width: int = 80) -> str:
    """Two columns, the second wrapped."""
    left = min(34, max(len(name) for name, _ in rows)) + 2
    lines = []
    for name, about in rows:
        wrapped = textwrap.wrap(about, width - left - 2) or [""]
        if len(name) >= left:
            lines.append(f"  {name}")
            name = ""
        lines += [f"  {name:<{left}}{wrapped[0]}".rstrip(), *(f"  {'':<{left}}{line}" for line in wrapped[1:])]
    return "\n".join(lines)


def _name(base: ast.expr) -> str:
    """Dataset of torch.utils.data.Dataset[dict]."""
    return ast.unparse(base).split("[")[0].split(".")[-1]


def _exported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }


def _body(card: str) -> list[str]:
    """The lines after the YAML header of a model card."""
    parts = card.split("---\n", 2)
    return (parts[2] if card.startswith("---\n") and len(parts) == 3 else card).splitlines()
