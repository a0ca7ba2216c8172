"""J and F along each film, as a picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmcontrast.evals.davis import Scores


def draw_curves(films: Mapping[str, Scores], file: Path, columns: int = 4) -> None:
    """Writes a PNG: one panel a film, its objects' mean J and F over the scored frames."""
    columns = min(columns, len(films))
    rows = -(-len(films) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows + 0.4), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for panel, (name, scores) in zip(panels, films.items(), strict=False):
        for label, values, color in (("J", scores.J, "tab:blue"), ("F", scores.F, "tab:orange")):
            mean = values.mean(0)
            panel.plot(np.arange(1, len(mean) + 1), mean, color=color, label=f"{label} {values.mean():.3f}")
        panel.set(title=name, ylim=(0, 1), xlabel="frame")
        panel.grid(alpha=0.3)
        panel.legend(loc="lower left", fontsize=8)
    for panel in list(figure.axes)[len(films) :]:
        panel.set_axis_off()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
