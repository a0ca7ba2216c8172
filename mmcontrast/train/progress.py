"""One line of progress for the whole run: epoch, steps, time left, speed and the key figures."""

import shutil
import sys
import time
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class Progress(ProgressBar):
    """A bar on a terminal, a line every half minute elsewhere (log files)."""

    def __init__(self, seconds_between_lines: float = 30.0) -> None:
        super().__init__()
        self._enabled = True
        self._between = seconds_between_lines
        self._bar: tqdm[Any] | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether this rank shows anything; ``LightningModule.print`` asks."""
        return self._enabled

    def disable(self) -> None:
        """Other ranks stay silent."""
        self._enabled = False

    def enable(self) -> None:
        """Counterpart of ``disable``."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Opens the bar where the run stands."""
        super().on_train_start(trainer, pl_module)
        self._total, self._first = int(trainer.estimated_stepping_batches), trainer.global_step
        self._start = self._last_line = time.monotonic()
        if self._enabled and sys.stderr.isatty():
            self._bar = tqdm(
                total=self._total,
                initial=self._first,
                mininterval=0.2,
                ncols=_columns(),
                nrows=24,
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}",
            )

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Moves on after an optimizer step."""
        if not self._enabled or trainer.fit_loop.epoch_loop._should_accumulate():
            return
        now, step = time.monotonic(), trainer.global_step
        if self._bar is not None:
            self._bar.n, self._bar.ncols = step, _columns()
            if now - self._last_line > 0.5 or step == self._total:
                self._last_line = now
                self._bar.set_description_str(self._epoch(trainer), refresh=False)
                self._bar.postfix = self._figures(trainer, step, now)
                self._bar.refresh()
        elif now - self._last_line > self._between or step == self._total:
            self._last_line = now
            left = (now - self._start) / (step - self._first) * (self._total - step)
            clock = f"{tqdm.format_interval(now - self._start)}<{tqdm.format_interval(left)}"
            parts = self._epoch(trainer), f"step {step}/{self._total}", clock, self._figures(trainer, step, now)
            print("  ".join(parts), file=sys.stderr, flush=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leaves the line before a message follows."""
        self._close()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Writes above the bar."""
        if self._enabled:
            tqdm.write(kwargs.get("sep", " ").join(map(str, args)), file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @staticmethod
    def _epoch(trainer: L.Trainer) -> str:
        last = trainer.max_epochs
        return f"epoch {trainer.current_epoch + 1}" + (f"/{last}" if last and last > 0 else "")

    def _figures(self, trainer: L.Trainer, step: int, now: float) -> str:
        scalars = getattr(trainer.lightning_module, "scalars", {})
        speed = (step - self._first) / max(now - self._start, 1e-9)
        parts = [f"loss {float(scalars['loss']):.3f}"] if "loss" in scalars else []
        if "val/loss" in trainer.callback_metrics:
            parts.append(f"val {float(trainer.callback_metrics['val/loss']):.3f}")
        return " ".join([*parts, f"{speed:.2g} it/s" if speed >= 1 or not speed else f"{1 / speed:.2g} s/it"])


def _columns() -> int:
    """Room on a line; 79 where the terminal does not say, as in some containers."""
    return shutil.get_terminal_size().columns - 1
