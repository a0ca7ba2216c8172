"""A watch over the features while they are learned: a run whose loss falls may still learn to say one thing only."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L
import torch
from torch import Tensor

from mmcontrast.methods.base import Method
from mmcontrast.ops.sphere import effective_rank, feature_std, similarities

if TYPE_CHECKING:
    from mmcontrast.train.learner import Learner


class CollapseWatch(L.Callback):
    """Logs how much of the sphere the encoder's features fill, and says so when they, or the loss, have collapsed.

    The encoder sees the first samples of a batch once more, in evaluation mode.  Logged are ``collapse/feature_std``
    (0: all alike, 1: spread over the sphere), ``collapse/effective_rank`` and, where a method takes two views,
    ``collapse/positive_similarity`` and ``collapse/negative_similarity``.  Methods that compare across a batch log
    ``train/mutual_information`` themselves, and those with a teacher ``train/teacher_entropy``.

    Args:
        every: optimizer steps between two looks; the last step is one too.
        among: samples to look at.
    """

    def __init__(self, every: int = 100, among: int = 256) -> None:
        self.every, self.among = every, among
        self._suspected: str | None = None  # at the last look

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: "Learner", outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks, on the first rank; two looks in a row that find the same make it a verdict."""
        step, total = trainer.global_step, pl_module.total_steps
        if not trainer.is_global_zero or trainer.fit_loop.epoch_loop._should_accumulate():
            return
        if step % self.every and step != total:
            return
        figures = look(pl_module.method, batch, self.among, trainer.precision_plugin.forward_context())
        for logger in trainer.loggers:
            logger.log_metrics({f"collapse/{name}": value for name, value in figures.items()}, step)
        scalars = {name: float(value) for name, value in pl_module.scalars.items()}
        message = verdict(figures | scalars, step / total)
        if message and message == self._suspected:
            pl_module.print(f"step {step}: {message}")
        self._suspected = message


@torch.no_grad()
def look(
    method: Method, batch: dict[str, Any], among: int, context: AbstractContextManager[Any] | None = None
) -> dict[str, float]:
    """Figures of a method's encoder on a batch with ``views``, ``image`` or ``sound``; none for other batches.

    Args:
        method: left in training mode.
        batch: as the method wants it.
        among: samples to look at.
        context: autocast, where the run has it.
    """
    views: list[Tensor] = batch.get("views") or [batch[name] for name in ("image", "sound") if name in batch]
    if not views or len(views[0]) < 2:
        return {}
    method.eval()
    with context or nullcontext():
        features = [method.encoder(view[:among]).float() for view in views[:2]]  # (N, D) each
    method.train()
    figures = {"feature_std": feature_std(features[0]), "effective_rank": effective_rank(features[0])}
    if len(features) == 2:
        figures["positive_similarity"], figures["negative_similarity"] = similarities(*features)
    return {name: float(value) for name, value in figures.items()}


def verdict(figures: dict[str, float], progress: float) -> str | None:
    """What is wrong, in a sentence, or None.

    Args:
        figures: of ``look`` and of the method.
        progress: share of the run that is done.
    """
    get = figures.get
    if get("feature_std", 1.0) < 0.01 or get("effective_rank", 2.0) < 1.2:
        return (
            f"the features have collapsed: standard deviation {get('feature_std', 1.0):.4f} of 1, effective rank "
            f"{get('effective_rank', 1.0):.2f}; try a lower lr, a longer warmup, or more negatives or views"
        )
    entropy = get("teacher_entropy", 0.5)
    if not 0.001 < entropy < 0.999:
        which = "one prototype for every image" if entropy < 0.5 else "all prototypes alike"
        return f"the teacher has collapsed to {which}; try another teacher_temperature or center_momentum"
    if progress > 0.1 and get("mutual_information", 1.0) < 0.01:
        return f"the loss is that of guessing ({get('mutual_information', 0.0):.4f} nats are known); try another lr"
    return None
