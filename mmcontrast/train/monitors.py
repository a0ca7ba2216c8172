"""Evaluations that run during ``fit`` and log their figures beside the loss."""

from typing import TYPE_CHECKING

import lightning.pytorch as L
import torch

from mmcontrast.methods.base import Method

if TYPE_CHECKING:
    from mmcontrast.train.learner import Learner

__all__ = ["Monitor"]


class Monitor(L.Callback):
    """Evaluates the method after every so many epochs, and after the last.

    Subclasses give ``figures``.

    Args:
        every: epochs between evaluations.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def figures(self, method: Method) -> dict[str, float]:
        """Name -> figure.  The method is in evaluation mode, without gradients; only the first rank computes."""
        raise NotImplementedError

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: "Learner") -> None:  # type: ignore[override]
        """Evaluates and logs."""
        epoch = trainer.current_epoch + 1
        last = epoch == trainer.max_epochs or trainer.global_step == pl_module.total_steps
        if epoch % self.every and not last:
            return
        if trainer.is_global_zero:
            pl_module.method.eval()
            with torch.no_grad():
                figures = {f"val/{name}": float(value) for name, value in self.figures(pl_module.method).items()}
            pl_module.method.train()
            for logger in trainer.loggers:
                logger.log_metrics(figures, trainer.global_step)
            pl_module.print(
                "  ".join([f"epoch {epoch}", *(f"{name[4:]} {value:.4g}" for name, value in figures.items())])
            )
        trainer.strategy.barrier()
