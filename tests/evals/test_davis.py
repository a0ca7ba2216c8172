import json
import re
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data.datasets.davis import Davis
from mmcontrast.data.io.masks import write_mask
from mmcontrast.evals.boundary import contour, contour_accuracy, region_similarity
from mmcontrast.evals.davis import evaluate_davis
from mmcontrast.predict.baselines import FlowTracker, IdentityTracker
from mmcontrast.predict.track import LabelPropagator

FRAMES, HEIGHT, WIDTH = 6, 96, 128


def square(top: int, left: int, side: int = 24) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def videos(root, year: int, unsupervised: bool = False) -> dict[str, list[np.ndarray]]:
    """Two videos in DAVIS's layout: one square that moves, and two of which one stays."""
    texture = cv2.resize(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    truth = {
        "one": [square(30, 20 + 4 * t).astype(np.uint8) for t in range(FRAMES)],
        "two": [square(10, 20 + 2 * t) * np.uint8(1) + square(60, 90) * np.uint8(2) for t in range(FRAMES)],
    }
    for name, masks in truth.items():
        frames = root / "DAVIS" / "JPEGImages" / "480p" / name
        folder = root / "DAVIS" / ("Annotations_unsupervised" if unsupervised else "Annotations") / "480p" / name
        frames.mkdir(parents=True)
        folder.mkdir(parents=True)
        for t, mask in enumerate(masks):
            image = np.where(mask[..., None] > 0, 255 - texture // 3, texture // 3)
            Image.fromarray(image.astype(np.uint8)).save(frames / f"{t:05d}.jpg", quality=95)
            if year == 2016:
                Image.fromarray((mask > 0).astype(np.uint8) * 255).save(folder / f"{t:05d}.png")
            else:
                write_mask(folder / f"{t:05d}.png", mask)
    sets = root / "DAVIS" / "ImageSets" / str(year)
    sets.mkdir(parents=True)
    if year == 2016:
        lines = [f"/JPEGImages/480p/{n}/{t:05d}.jpg /Annotations/480p/{n}/{t:05d}.png" for n in truth for t in range(6)]
        (sets / "val.txt").write_text("\n".join(lines))
    else:
        (sets / "val.txt").write_text("\n".join(truth) + "\n")
    return truth


def results(root, masks: dict[str, list[np.ndarray]]):
    for name, frames in masks.items():
        (root / name).mkdir(parents=True)
        for t, mask in enumerate(frames):
            write_mask(root / name / f"{t:05d}.png", mask)
    return root


def test_region_similarity_by_hand():
    assert region_similarity(square(0, 0), square(0, 12)) == pytest.approx(1 / 3)
    assert region_similarity(square(0, 0, 0), square(0, 0, 0)) == 1
    assert region_similarity(square(0, 0), square(0, 0, 0)) == 0


def test_contours_by_hand():
    mask = np.zeros((5, 6), bool)
    mask[2, 2] = True
    assert np.argwhere(contour(mask)).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    near, far = square(30, 40), square(30, 44)  # the diagonal is 160 pixels, 0.008 of it reaches 2 pixels
    assert contour_accuracy(near, square(31, 41)) == 1
    assert 0 < contour_accuracy(near, far) < 1
    assert contour_accuracy(near, far, tolerance=4 / 160) == 1
    assert contour_accuracy(near, square(0, 0, 0)) == 0
    assert contour_accuracy(square(0, 0, 0), square(0, 0, 0)) == 1


def test_published_scores_are_reproduced(test_data, tmp_path):
    for name in ("dev", "osvos_masks"):
        with tarfile.open(test_data(f"davis/{name}.tar")) as tar:
            tar.extractall(tmp_path, filter="data")
    published = json.loads(test_data("davis/published.json").read_text())["methods"]["osvos"]
    data = Davis(tmp_path, year=2016, split="dev")
    assert sorted(data.sequences) == sorted(published)
    report = evaluate_davis(data, tmp_path / "osvos")
    for name, scores in report.videos.items():
        assert np.abs(scores.J[0] - published[name]["J"]).max() <= 0.0006
        assert np.abs(scores.F[0] - published[name]["F"]).max() <= 0.0006


def test_one_object_of_2016(tmp_path):
    truth = videos(tmp_path, 2016)
    data = Davis(tmp_path)
    assert (data.year, data.sequences) == (2016, ["one", "two"])
    still = evaluate_davis(data, IdentityTracker()).videos["one"]
    overlap = [(24 - 4 * t) / (24 + 4 * t) for t in range(1, FRAMES - 1)]  # first and last frame are not scored
    assert still.J.shape == (1, FRAMES - 2)
    assert np.allclose(still.J[0], overlap)
    assert still.summary()["J_decay"] == pytest.approx((overlap[0] + overlap[1]) / 2 - (overlap[2] + overlap[3]) / 2)
    right = evaluate_davis(data, results(tmp_path / "right", truth)).metrics
    assert right["J"] == right["F"] == 1
    assert right["per_sequence"]["two"]["num_objects"] == 1


def test_objects_of_2017_count_alike(tmp_path):
    truth = videos(tmp_path, 2017)
    data = Davis(tmp_path / "DAVIS")
    assert data.year == 2017
    guess = {"one": truth["one"], "two": [np.where(mask == 2, 0, mask) for mask in truth["two"]]}
    report = evaluate_davis(data, results(tmp_path / "guess", guess)).metrics
    assert report["per_sequence"]["two"]["num_objects"] == 2
    assert report["per_sequence"]["two"]["J"] == 0.5
    assert report["J"] == pytest.approx(2 / 3)  # a mean over objects, not videos
    assert report["J&F"] == pytest.approx(2 / 3)


def test_unsupervised_matches_proposals(tmp_path):
    truth = videos(tmp_path, 2017, unsupervised=True)
    data = Davis(tmp_path, task="unsupervised")
    renamed = [np.select([mask == 1, mask == 2], [9, 4], 0).astype(np.uint8) for mask in truth["two"]]
    renamed[0][:4, :4] = 30  # a proposal too many
    report = evaluate_davis(data, results(tmp_path / "guess", {"one": truth["one"], "two": renamed}))
    assert report.metrics["J&F"] == 1
    assert report.videos["two"].J.shape == (2, FRAMES)
    nothing = {"one": truth["one"], "two": [np.where(mask == 2, 0, mask) for mask in truth["two"]]}
    assert evaluate_davis(data, results(tmp_path / "half", nothing)).metrics["J"] == pytest.approx(2 / 3)


def test_trackers_beat_standing_still(tmp_path):
    videos(tmp_path, 2016)
    data = Davis(tmp_path, sequences=["one"])
    still, flow, lab = (
        evaluate_davis(data, tracker, save=tmp_path / "saved").metrics["J&F"]
        for tracker in (IdentityTracker(), FlowTracker(), LabelPropagator("lab", resolution=192))
    )
    assert still < flow
    assert lab > 0.8
    assert len(list((tmp_path / "saved" / "one").glob("*.png"))) == FRAMES
    assert evaluate_davis(data, tmp_path / "saved").metrics["J&F"] == pytest.approx(lab)


def run(*arguments: object) -> int:
    return main(["eval", "davis", *map(str, arguments)])


def test_command(tmp_path, capsys):
    videos(tmp_path, 2016)
    assert run("--data", tmp_path, "--model", "identity", "--sequences", "one, two", "--out", tmp_path / "out") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert set(result["metrics"]) == {"J", "F", "J&F", "per_sequence", "seconds_per_frame"}
    assert "J&F" in captured.err
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == result
    with Image.open(tmp_path / "out" / "curves.png") as image:
        assert image.size[0] > 300
    assert run("--data", tmp_path, "--masks", tmp_path / "out" / "masks") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["J"] == pytest.approx(result["metrics"]["J"])


def test_mistakes(tmp_path, capsys):
    truth = videos(tmp_path, 2016)
    folder = results(tmp_path / "part", {"one": truth["one"][:3], "two": truth["two"]})
    small = results(tmp_path / "small", {name: [mask[:40] for mask in masks] for name, masks in truth.items()})
    for arguments, message in (
        (("--data", tmp_path / "nowhere"), "has no JPEGImages"),
        (("--data", tmp_path, "--split", "test"), "there are val"),
        (("--data", tmp_path, "--sequences", "three"), "it has one, two"),
        (("--data", tmp_path, "--masks", folder), r"one/00003\.png: no such result"),
        (("--data", tmp_path, "--masks", small), "is 128x40, the truth is 128x96"),
        (("--data", tmp_path, "--unsupervised"), "give --masks"),
    ):
        assert run(*arguments) == 2
        assert re.search(message, capsys.readouterr().err)
