"""What a run leaves besides weights: metrics.csv and an image of the loss."""

import csv
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from mmcontrast.errors import InputError
from mmcontrast.train.errors import replacing


def world_rank() -> int:
    """This process's rank, as the launcher's environment variables say, also before the processes know each other."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


class MetricsCSV(Logger):
    """Rows of figures in ``metrics.csv`` of a run directory, one row per step, columns in order of appearance.

    Nothing in it depends on the clock, so that two runs that are the same run have the same file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.rows: list[dict[str, float]] = []
        self._columns: list[str] = ["step"]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    @property
    def version(self) -> str:
        """A run directory holds one run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run directory; Lightning makes it the ``log_dir``."""
        return str(self.folder)

    @property
    def log_dir(self) -> str:
        """The run directory."""
        return str(self.folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds a row, or completes the last one if it is of the same step."""
        values = {k: float(v) for k, v in metrics.items() if k != "epoch"}
        if not values or step is None:
            return
        new = [k for k in values if k not in self._columns]
        self._columns += new
        if self.rows and self.rows[-1]["step"] == step:
            self.rows[-1] |= values
            self._rewrite()
            return
        self.rows.append({"step": int(step), **values})
        if new:
            self._rewrite()
        else:
            with replacing(self.path, self.part), self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(self.rows[-1])

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "metrics.csv"

    @property
    def part(self) -> Path:
        """The file while it is rewritten."""
        return self.path.with_suffix(".csv.part")

    def _rewrite(self) -> None:
        with replacing(self.path, self.part):
            with self.part.open("w", newline="") as file:
                writer = csv.DictWriter(file, self._columns)
                writer.writeheader()
                writer.writerows(self.rows)
            os.replace(self.part, self.path)

    def rewind(self, rows: int) -> None:
        """Reads the file of an earlier run and forgets what came after its first ``rows`` rows.

        Raises:
            InputError: The file is damaged.
        """
        if self.path.exists():
            self.rows = self.read()[:rows]
            self._columns = list(dict.fromkeys(["step", *(k for row in self.rows for k in row)]))
            self._rewrite()

    def read(self) -> list[dict[str, float]]:
        """Returns the rows of the file.

        Raises:
            InputError: The file is damaged.
        """
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                table = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
            return [row | {"step": int(row["step"])} for row in table]
        except (ValueError, KeyError, TypeError, AttributeError, OSError, csv.Error) as error:
            raise InputError(
                f"{self.path} is damaged and cannot be read ({str(error).splitlines()[0]}); mend it, or remove "
                f"it to go on without the earlier rows"
            ) from error


class Curves(L.Callback):
    """Draws ``loss.png`` and keeps the rows of ``metrics.csv`` in step with the checkpoint.

    An image is drawn after an epoch that has brought a twentieth more rows than the last image shows, and at the
    end: runs of a thousand short epochs draw tens of images, whose remains Python frees late, not a thousand.
    """

    def __init__(self, metrics: MetricsCSV) -> None:
        self.metrics = metrics
        self._drawn = 0  # rows in the image

    def state_dict(self) -> dict[str, int]:
        """How many rows belong to the checkpoint."""
        return {"rows": len(self.metrics.rows)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Forgets the rows that the interrupted run wrote after its last checkpoint."""
        if world_rank() == 0:
            self.metrics.rewind(state_dict["rows"])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws, if there is enough that is new."""
        if len(self.metrics.rows) >= 1.05 * self._drawn:
            self._draw(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws all of it."""
        self._draw(trainer)

    def _draw(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero and len(self.metrics.rows) != self._drawn:
            draw_losses(self.metrics.rows, self.metrics.folder / "loss.png")
            self._drawn = len(self.metrics.rows)


def smoothed(values: list[float], window: float) -> list[float]:
    """Exponential moving average over about ``window`` values, started at their mean."""
    keep, out, mean, weight = 1 - 1 / max(window, 1.0), [], 0.0, 0.0
    for value in values:
        mean, weight = keep * mean + value, keep * weight + 1
        out.append(mean / weight)
    return out


def draw_losses(rows: list[dict[str, float]], path: Path) -> None:
    """Training loss (raw and smoothed) and validation loss over steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    curves = {
        key: [(row["step"], row[key]) for row in rows if row.get(key, float("nan")) == row.get(key)]
        for key in ("train/loss", "val/loss")
    }
    if train := curves["train/loss"]:
        steps, values = zip(*train, strict=True)
        axes.plot(steps, values, color="tab:blue", alpha=0.3, linewidth=0.8)
        axes.plot(steps, smoothed(list(values), len(values) / 20), color="tab:blue", label="training")
    if val := curves["val/loss"]:
        axes.plot(*zip(*val, strict=True), color="tab:orange", marker="o", markersize=3, label="validation")
    if not (train or val):
        return
    axes.set(xlabel="step", ylabel="loss", title=path.parent.name)
    axes.grid(alpha=0.3)
    axes.legend()
    part = path.with_suffix(".part.png")
    with replacing(path, part):
        figure.savefig(part)
        os.replace(part, path)
