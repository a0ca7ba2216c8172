"""Video object segmentation scored as DAVIS scores it: J, F and their mean, per object, video and frame."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from mmcontrast.data.datasets.davis import VOID, Davis
from mmcontrast.data.io.masks import write_mask
from mmcontrast.data.io.video import Video
from mmcontrast.errors import InputError
from mmcontrast.evals.boundary import contour_accuracy, region_similarity

PROPOSALS = 20  # objects that an unsupervised result may have


class Tracker(Protocol):
    """What carries a mask through a video."""

    def iter_masks(self, video: Video, first_mask: np.ndarray) -> Iterator[np.ndarray]:
        """(H, W) uint8 ids for each frame."""
        ...


@dataclass
class Scores:
    """One video: (objects, scored frames) in [0, 1]."""

    J: np.ndarray
    F: np.ndarray
    seconds_per_frame: float | None = None

    def summary(self) -> dict[str, Any]:
        """Means over objects and frames, recall (share of frames above .5) and decay (first quarter less last)."""
        out: dict[str, Any] = {"J": self.J.mean(), "F": self.F.mean(), "J&F": (self.J.mean() + self.F.mean()) / 2}
        for name, values in (("J", self.J), ("F", self.F)):
            out[f"{name}_recall"] = (values > 0.5).mean()
            out[f"{name}_decay"] = _decay(values)
        return {key: float(value) for key, value in out.items()} | {"objects": len(self.J)}


@dataclass
class Report:
    """All videos of an evaluation."""

    videos: dict[str, Scores] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """``J``, ``F`` and ``J&F`` over all objects, ``per_sequence``, and ``seconds_per_frame`` where a model ran."""
        J, F = (np.concatenate([getattr(s, name).mean(1) for s in self.videos.values()]).mean() for name in "JF")
        times = [s.seconds_per_frame for s in self.videos.values() if s.seconds_per_frame is not None]
        return {
            "J": float(J),
            "F": float(F),
            "J&F": float(J + F) / 2,
            "per_sequence": {name: scores.summary() for name, scores in self.videos.items()},
            "seconds_per_frame": float(np.mean(times)) if times else None,
        }

    def table(self) -> str:
        """One line a video, in percent, and the mean over all objects."""
        total = self.as_dict()
        rows = {**total["per_sequence"], "mean": total}
        width = max(map(len, rows))
        lines = [
            f"{name:<{width}}" + "".join(f"{100 * row[k]:8.1f}" for k in ("J", "F", "J&F"))
            for name, row in rows.items()
        ]
        return "\n".join([f"{'':<{width}}{'J':>8}{'F':>8}{'J&F':>8}", *lines])


def evaluate(
    data: Davis,
    source: Tracker | str | Path,
    save: str | Path | None = None,
    progress: bool = False,
) -> Report:
    """Scores a tracker, or result masks in a folder FOLDER/VIDEO/00000.png.

    The first and the last frame are not scored, except in the unsupervised task, where a result's objects are matched
    to the annotated ones as well as can be and void pixels do not count.

    Args:
        data: videos with the truth.
        source: what carries the first mask on, or the folder of results.
        save: writes a tracker's masks to such a folder.
        progress: show a bar on stderr.
    Raises:
        InputError: results that are missing or of another size.
    """
    report = Report()
    bar = tqdm(total=sum(len(data.annotations(name)) for name in data.sequences), disable=not progress, unit="frame")
    with bar:
        for name in data.sequences:
            bar.set_description(name)
            files = data.annotations(name)
            truth = [data.read(path) for path in files]
            start = time.process_time()
            if isinstance(source, str | Path):
                results = list(_read_results(data, Path(source) / name, files, bar.update))
                seconds = None
            else:
                results = list(_track(source, data, name, truth[0], save, bar.update))
                seconds = (time.process_time() - start) / len(results)
            if len(results) != len(truth):
                raise InputError(f"{name}: {len(results)} masks for {len(truth)} annotated frames")
            score = _unsupervised if data.task == "unsupervised" else _semi_supervised
            report.videos[name] = Scores(*score(truth, results), seconds)
    return report


def _track(
    tracker: Tracker, data: Davis, name: str, first: np.ndarray, save: str | Path | None, step: Callable[[], Any]
) -> Iterator[np.ndarray]:
    folder = Path(save) / name if save else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(tracker.iter_masks(data.video(name), np.where(first == VOID, 0, first))):
        if folder:
            write_mask(folder / f"{number:05d}.png", mask)
        step()
        yield mask


def _read_results(data: Davis, folder: Path, files: list[Path], step: Callable[[], Any]) -> Iterator[np.ndarray]:
    for number, file in enumerate(files):
        path = folder / file.name
        unscored = data.task == "semi-supervised" and number in (0, len(files) - 1)
        if not path.is_file() and not unscored:
            raise InputError(f"{path}: no such result; wanted a mask for every frame of the video")
        truth = data.read(file)
        mask = data.read(path) if path.is_file() else truth
        if mask.shape != truth.shape:
            raise InputError(
                f"{path}: is {mask.shape[1]}x{mask.shape[0]}, the truth is {truth.shape[1]}x{truth.shape[0]}"
            )
        step()
        yield mask


def _semi_supervised(truth: list[np.ndarray], results: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """J and F (objects, T - 2) of the objects of the first frame."""
    ids = _ids(truth[:1])
    pairs = list(zip(results[1:-1], truth[1:-1], strict=True))
    J = [[region_similarity(mask == i, true == i) for mask, true in pairs] for i in ids]
    F = [[contour_accuracy(mask == i, true == i) for mask, true in pairs] for i in ids]
    return np.array(J), np.array(F)


def _unsupervised(truth: list[np.ndarray], results: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """J and F (objects, T), each object with the proposal that the best assignment gives it, 0 without one."""
    ids, proposals = _ids(truth), _ids(results)
    if len(proposals) > PROPOSALS:
        raise InputError(f"a result has {len(proposals)} objects; at most {PROPOSALS} proposals are allowed")
    shape = (max(len(proposals), len(ids)), len(ids), len(truth))
    J, F = np.zeros(shape), np.zeros(shape)
    for t, (mask, true) in enumerate(zip(results, truth, strict=True)):
        seen = true != VOID
        for p, proposal in enumerate(proposals):
            ours = (mask == proposal) & seen
            for i, number in enumerate(ids):
                J[p, i, t] = region_similarity(ours, true == number)
                F[p, i, t] = contour_accuracy(ours, true == number)
    chosen, objects = linear_sum_assignment(-(J.mean(2) + F.mean(2)))
    order = chosen[np.argsort(objects)]
    return J[order, np.arange(len(ids))], F[order, np.arange(len(ids))]


def _ids(masks: Iterable[np.ndarray]) -> list[int]:
    return sorted(set().union(*(np.unique(mask).tolist() for mask in masks)) - {0, VOID})


def _decay(values: np.ndarray) -> float:
    """Mean of the first quarter of the frames less that of the last; quarters share their borders, as in DAVIS."""
    frames = values.shape[1]
    ends = np.round(np.linspace(1, frames, 5) + 1e-10).astype(int) - 1
    return float(values[:, : ends[1] + 1].mean() - values[:, ends[3] :].mean())
