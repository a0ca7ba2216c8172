"""Refuses files above 300 lines and functions above 40 lines (``make check`` runs it).

    python tests/check_sizes.py

The signature and the docstring of a function do not count. A longer function is accepted if its docstring says why:
"The function is long because ...".
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_FILE, MAX_FUNCTION = 300, 40


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Returns the number of lines after the signature and the docstring."""
    documented = ast.get_docstring(function) is not None
    first = function.body[1 if documented and len(function.body) > 1 else 0]
    return (function.end_lineno or function.lineno) - first.lineno + 1


def problems(file: Path) -> Iterator[str]:
    """Yields a message for a file that is too long and for each function that is."""
    text = file.read_text(encoding="utf-8")
    label = file.relative_to(ROOT)
    if (lines := len(text.splitlines())) > MAX_FILE:
        yield f"{label}: {lines} lines; split it, at most {MAX_FILE} are allowed"
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    for node in functions:
        explained = "is long because" in (ast.get_docstring(node) or "")
        if function_lines(node) > MAX_FUNCTION and not explained:
            yield f"{label}:{node.lineno}: {node.name} has {function_lines(node)} lines; split it, or say why"


def main() -> int:
    """Prints every problem; returns 1 where there is one."""
    files = [
        file for folder in ("mmcontrast", "apps", "data_scripts") for file in sorted((ROOT / folder).rglob("*.py"))
    ]
    found = [problem for file in files for problem in problems(file)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
