"""Video object segmentation scored as DAVIS does: J, F and their mean, per object, video and frame."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from mmcontrast.data.datasets.davis import VOID, Davis
from mmcontrast.data.io.masks import write_mask
from mmcontrast.errors import InputError
from mmcontrast.evals.boundary import contour_accuracy, region_similarity
from mmcontrast.evals.results import EvalResult
from mmcontrast.predict.tracker import Tracker

MAX_PROPOSALS = 20  # objects that an unsupervised result may have

Mask = npt.NDArray[np.uint8]  # (H, W) object numbers, 0 for the background


@dataclass(frozen=True)
class VideoScores:
    """Scores of one video.

    Attributes:
        J: Region similarity (objects, scored frames) in [0, 1].
        F: Contour accuracy (objects, scored frames) in [0, 1].
        seconds_per_frame: CPU time of the tracker per frame; None for stored results.
    """

    J: npt.NDArray[np.float64]
    F: npt.NDArray[np.float64]
    seconds_per_frame: float | None = None

    def summary(self) -> dict[str, Any]:
        """Returns means, recall (the fraction of frames above 0.5) and decay (the first quarter minus the last)."""
        figures: dict[str, Any] = {"J": self.J.mean(), "F": self.F.mean(), "J&F": (self.J.mean() + self.F.mean()) / 2}
        for name, values in (("J", self.J), ("F", self.F)):
            figures[f"{name}_recall"] = (values > 0.5).mean()
            figures[f"{name}_decay"] = _decay(values)
        return {key: float(value) for key, value in figures.items()} | {"num_objects": len(self.J)}


@dataclass(frozen=True, kw_only=True)
class DavisResult(EvalResult):
    """The figures of an evaluation on DAVIS.

    Attributes:
        videos: The scores of each video.
    """

    videos: Mapping[str, VideoScores]

    def table(self) -> str:
        """Returns one line per video, in percent, and the mean over all objects."""
        rows = {**self.metrics["per_sequence"], "mean": self.metrics}
        width = max(map(len, rows))
        lines = [
            f"{name:<{width}}" + "".join(f"{100 * row[k]:8.1f}" for k in ("J", "F", "J&F"))
            for name, row in rows.items()
        ]
        return "\n".join([f"{'':<{width}}{'J':>8}{'F':>8}{'J&F':>8}", *lines])


def evaluate_davis(
    data: Davis,
    source: Tracker | str | Path,
    save: str | Path | None = None,
    progress: bool = False,
) -> DavisResult:
    """Scores a tracker, or result masks in a folder FOLDER/VIDEO/00000.png.

    The first and the last frame are not scored, except in the unsupervised task, where the objects of a result are
    assigned to the annotated objects in the best way and void pixels do not count.

    Args:
        data: Videos with true masks.
        source: A tracker, or a folder of results.
        save: A folder to write the tracker's masks to, as FOLDER/VIDEO/00000.png.
        progress: Whether to draw a progress bar on stderr.

    Returns:
        ``J``, ``F`` and ``J&F`` averaged over all objects, ``per_sequence``, and ``seconds_per_frame`` of a tracker.

    Raises:
        InputError: Results are missing or have another size.
    """
    videos: dict[str, VideoScores] = {}
    num_frames = sum(len(data.annotations(name)) for name in data.sequences)
    with tqdm(total=num_frames, disable=not progress, unit="frame") as bar:
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
            videos[name] = VideoScores(*score(truth, results), seconds)
    return DavisResult(
        metrics=_metrics(videos),
        counts={
            "num_videos": len(videos),
            "num_objects": sum(len(scores.J) for scores in videos.values()),
            "num_frames": num_frames,
        },
        settings={"year": data.year, "task": data.task},
        videos=videos,
    )


def _metrics(videos: Mapping[str, VideoScores]) -> dict[str, Any]:
    """Averages J and F over all objects of all videos."""
    J = float(np.concatenate([scores.J.mean(1) for scores in videos.values()]).mean())
    F = float(np.concatenate([scores.F.mean(1) for scores in videos.values()]).mean())
    times = [scores.seconds_per_frame for scores in videos.values() if scores.seconds_per_frame is not None]
    return {
        "J": J,
        "F": F,
        "J&F": (J + F) / 2,
        "per_sequence": {name: scores.summary() for name, scores in videos.items()},
        "seconds_per_frame": float(np.mean(times)) if times else None,
    }


def _track(
    tracker: Tracker, data: Davis, name: str, first: Mask, save: str | Path | None, step: Callable[[], Any]
) -> Iterator[Mask]:
    folder = Path(save) / name if save else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(tracker.iter_masks(data.video(name), np.where(first == VOID, 0, first))):
        if folder:
            write_mask(folder / f"{number:05d}.png", mask)
        step()
        yield mask


def _read_results(data: Davis, folder: Path, files: list[Path], step: Callable[[], Any]) -> Iterator[Mask]:
    for number, file in enumerate(files):
        path = folder / file.name
        is_scored = data.task == "unsupervised" or number not in (0, len(files) - 1)
        if not path.is_file() and is_scored:
            raise InputError(f"{path}: no such result; wanted a mask for every frame of the video")
        truth = data.read(file)
        mask = data.read(path) if path.is_file() else truth
        if mask.shape != truth.shape:
            raise InputError(
                f"{path}: is {mask.shape[1]}x{mask.shape[0]}, the truth is {truth.shape[1]}x{truth.shape[0]}"
            )
        step()
        yield mask


def _semi_supervised(truth: list[Mask], results: list[Mask]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Computes J and F (objects, T - 2) of the objects of the first frame."""
    ids = _ids(truth[:1])
    pairs = list(zip(results[1:-1], truth[1:-1], strict=True))
    J = [[region_similarity(mask == i, true == i) for mask, true in pairs] for i in ids]
    F = [[contour_accuracy(mask == i, true == i) for mask, true in pairs] for i in ids]
    return np.array(J), np.array(F)


def _unsupervised(truth: list[Mask], results: list[Mask]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Computes J and F (objects, T) of each object and the proposal assigned to it; 0 for an object without one."""
    ids, proposals = _ids(truth), _ids(results)
    if len(proposals) > MAX_PROPOSALS:
        raise InputError(f"a result has {len(proposals)} objects; at most {MAX_PROPOSALS} proposals are allowed")
    shape = (max(len(proposals), len(ids)), len(ids), len(truth))
    J, F = np.zeros(shape), np.zeros(shape)
    for t, (mask, true) in enumerate(zip(results, truth, strict=True)):
        is_known = true != VOID
        for p, proposal in enumerate(proposals):
            proposed = (mask == proposal) & is_known
            for i, number in enumerate(ids):
                J[p, i, t] = region_similarity(proposed, true == number)
                F[p, i, t] = contour_accuracy(proposed, true == number)
    assigned, objects = linear_sum_assignment(-(J.mean(2) + F.mean(2)))
    order = assigned[np.argsort(objects)]
    return J[order, np.arange(len(ids))], F[order, np.arange(len(ids))]


def _ids(masks: Iterable[Mask]) -> list[int]:
    ids: set[int] = set()
    return sorted(ids.union(*(np.unique(mask).tolist() for mask in masks)) - {0, VOID})


def _decay(values: npt.NDArray[np.float64]) -> float:
    """Returns the mean of the first quarter of the frames minus that of the last; quarters share their ends."""
    ends = np.round(np.linspace(1, values.shape[1], 5) + 1e-10).astype(int) - 1
    return float(values[:, : ends[1] + 1].mean() - values[:, ends[3] :].mean())
