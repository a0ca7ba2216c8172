"""Evaluations that run during ``fit`` and log their figures beside the loss, and images of what was learned."""

from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as L
import torch

from mmcontrast.data.augment.views import ToFloat
from mmcontrast.data.collate import Collate
from mmcontrast.errors import InputError
from mmcontrast.evals.knn import knn
from mmcontrast.evals.labeled_features import FeatureSettings
from mmcontrast.evals.retrieval import retrieval
from mmcontrast.evals.zero_shot import zero_shot
from mmcontrast.methods.base import Method
from mmcontrast.methods.clip import CLIP
from mmcontrast.viz.method_outputs import draw_images

if TYPE_CHECKING:
    from mmcontrast.train.learner import Learner

__all__ = ["ImageMonitor", "KNNMonitor", "Monitor", "RetrievalMonitor", "ZeroShotMonitor"]


class Monitor(L.Callback):
    """Looks at the method after every so many epochs, and after the last.

    Subclasses give ``figures``, or ``look`` at something else.

    Args:
        every: epochs between evaluations.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def figures(self, method: Method) -> dict[str, float]:
        """Name -> figure.  The method is in evaluation mode, without gradients; only the first rank computes."""
        raise NotImplementedError

    def look(self, trainer: L.Trainer, learner: "Learner") -> None:
        """Logs and prints the figures."""
        figures = {f"val/{name}": float(value) for name, value in self.figures(learner.method).items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, trainer.global_step)
        figures_text = (f"{name[4:]} {value:.4g}" for name, value in figures.items())
        learner.print("  ".join([f"epoch {trainer.current_epoch + 1}", *figures_text]))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: "Learner") -> None:  # type: ignore[override]
        """Looks, on the first rank."""
        epoch = trainer.current_epoch + 1
        last = epoch == trainer.max_epochs or trainer.global_step == pl_module.total_steps
        if epoch % self.every and not last:
            return
        if trainer.is_global_zero:
            pl_module.method.eval()
            with torch.no_grad():
                self.look(trainer, pl_module)
            pl_module.method.train()
        trainer.strategy.barrier()


class KNNMonitor(Monitor):
    """Accuracy ``top1`` of the weighted vote of the nearest training images; see ``mmcontrast eval knn``.

    For any method: its encoder's pooled output is judged, on images without augmentation.

    Args:
        train: labeled images that vote: a folder of class folders, or shards with KEY.cls.
        test: labeled images to measure on.
        k: neighbors; no more than ``train`` has.
        temperature: of the votes; 0.1 at k = 200 is lightly's setting.
        resolution: Side in pixels that images are resized to; None takes the encoder's own.
        limit: look at no more images of each set than this, a random choice that is always the same.
        name: what the figure is called, for instance "knn/top1".
        every: epochs between evaluations.
        batch_size: images encoded at once.
    """

    def __init__(
        self,
        train: str,
        test: str,
        k: int = 20,
        temperature: float = 0.07,
        resolution: int | None = None,
        limit: int | None = None,
        name: str = "knn",
        every: int = 1,
        batch_size: int = 64,
    ) -> None:
        super().__init__(every)
        self.train, self.test, self.k, self.temperature = train, test, k, temperature
        self.settings, self.name = FeatureSettings(resolution, batch_size, limit), name

    def figures(self, method: Method) -> dict[str, float]:
        """top1."""
        result = knn(method.encoder, self.train, self.test, [self.k], self.temperature, self.settings)
        return {f"{self.name}/top1": result.metrics["per_k"][str(self.k)]["top1"]}


class ImageMonitor(Monitor):
    """Writes what the method makes of some images to images/epoch_NNNN.png in the run directory.

    For methods with ``images``: reconstructions, solved puzzles, what they take for upright.  The images are spread
    evenly over the validation set, or over the training set where there is none.

    Args:
        count: number of images.
        every: epochs between sheets.
    """

    def __init__(self, count: int = 8, every: int = 1) -> None:
        super().__init__(every)
        self.count = count

    def on_fit_start(self, trainer: L.Trainer, pl_module: "Learner") -> None:  # type: ignore[override]
        """Refuses methods without images before any work."""
        if type(pl_module.method).images is Method.images:
            raise InputError(f"ImageMonitor: {type(pl_module.method).__name__} draws no images to look at")

    def look(self, trainer: L.Trainer, learner: "Learner") -> None:
        """Draws a sheet."""
        data = trainer.datamodule.val or trainer.datamodule.train  # type: ignore[attr-defined]
        indices = torch.linspace(0, len(data) - 1, min(self.count, len(data))).round().long().tolist()
        batch = ToFloat()(Collate()([data[index] for index in indices]))
        image, sample_key = batch["image"].to(learner.device), batch["sample_key"].to(learner.device)
        file = Path(trainer.default_root_dir, "images", f"epoch_{trainer.current_epoch + 1:04d}.png")
        draw_images(learner.method.images(image, sample_key), file)


def _image_text(method: Method) -> CLIP:
    if not isinstance(method, CLIP):
        raise InputError(f"this monitor is for image-text methods; {type(method).__name__} is none")
    return method


class ZeroShotMonitor(Monitor):
    """Zero-shot accuracy ``top1`` and ``top5`` of an image-text method; see ``mmcontrast eval zero-shot``.

    Args:
        data: labeled images: a folder of class folders, or shards with KEY.cls.
        classnames: names in label order, or a file with one a line; None: those of the data.
        templates: "simple", "openai80", a file, or sentences with ``{}``.
        name: what the figures are called, for instance "cifar10/top1".
        every: epochs between evaluations.
        batch_size: images encoded at once.
    """

    def __init__(
        self,
        data: str,
        classnames: str | list[str] | None = None,
        templates: str | list[str] = "simple",
        name: str = "zero_shot",
        every: int = 1,
        batch_size: int = 64,
    ) -> None:
        super().__init__(every)
        self.data, self.classnames, self.templates = data, classnames, templates
        self.name, self.batch_size = name, batch_size

    def figures(self, method: Method) -> dict[str, float]:
        """top1 and top5."""
        result = zero_shot(_image_text(method), self.data, self.classnames, self.templates, self.batch_size)
        return {f"{self.name}/{k}": result.metrics[k] for k in ("top1", "top5")}


class RetrievalMonitor(Monitor):
    """Recall between images and captions, both ways; see ``mmcontrast eval retrieval``.

    Args:
        data: images with captions: shards, a folder or a caption file.
        name: what the figures are called, for instance "flickr8k/i2t_r1".
        every: epochs between evaluations.
        batch_size: images encoded at once.
    """

    def __init__(self, data: str, name: str = "retrieval", every: int = 1, batch_size: int = 64) -> None:
        super().__init__(every)
        self.data, self.name, self.batch_size = data, name, batch_size

    def figures(self, method: Method) -> dict[str, float]:
        """i2t_r1 to t2i_r10."""
        result = retrieval(_image_text(method), self.data, self.batch_size)
        return {f"{self.name}/{k}": v for k, v in result.metrics.items()}
