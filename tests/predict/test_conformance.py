"""The contract of ``Predictor``, for every predictor that there is; a new one needs an entry in ``CASES``."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import mmcontrast.predict
from mmcontrast.data.io.video import open_video
from mmcontrast.data.io.video_file import VideoFile
from mmcontrast.data.io.video_writer import VideoWriter
from mmcontrast.encoders import TinyConv
from mmcontrast.errors import InputError
from mmcontrast.methods import Colorization, SimCLR
from mmcontrast.models.exporting import export
from mmcontrast.predict.base import Predictor
from mmcontrast.predict.tracker import Tracker
from tests.color_clip import color_clip

for module in pkgutil.iter_modules(mmcontrast.predict.__path__):
    importlib.import_module(f"mmcontrast.predict.{module.name}")

OPTIONS = ("device", "batch_size", "resolution", "dtype")
HEIGHT, WIDTH = 48, 64


def subclasses(cls: type) -> list[type]:
    return [known for child in cls.__subclasses__() for known in (child, *subclasses(child))]


def here(classes: list[type]) -> list[type]:
    return sorted({c for c in classes if c.__module__.startswith("mmcontrast.")}, key=lambda c: c.__name__)


PREDICTORS = here(subclasses(Predictor))
TRACKERS = here(subclasses(Tracker))


@dataclass
class Case:
    """What one predictor needs.

    Attributes:
        methods: A tiny method that serves it.
        encoder: A tiny encoder that serves it, if any does.
        bundled: The name of a model that comes with the package.
        wrong: A model that lacks something, and what the message says.
        arguments: Of the constructor, besides the model.
        call: Arguments of a call.
        prepare: Makes the predictor ready.
    """

    method: Callable[[], Any]
    encoder: Callable[[], Any] | None
    bundled: str
    wrong: tuple[Callable[[], Any], str]
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Any], Any] = lambda predictor: None
    video: bool = False


def tiny_encoder(channels: int = 3) -> TinyConv:
    torch.manual_seed(0)
    return TinyConv(dim=8, in_channels=channels, image_size=32).eval()


def tiny_method() -> SimCLR:
    return SimCLR(tiny_encoder(), dim=4).eval()


def tiny_colorization() -> Colorization:
    encoder = tiny_encoder(1)
    return Colorization(encoder, width=8, predict="ab").eval()


def frame(seed: int, shift: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
    return np.roll(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), shift, 1)


def mask() -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[10:30, 12:36] = 3
    return ids


class NoEncoder(SimCLR):
    """A method that encodes something else than images."""

    def __init__(self) -> None:
        super().__init__(tiny_encoder(), dim=4)
        del self.encoder


CASES = {
    "ZeroShotClassifier": Case(
        color_clip, None, "clip-lite", (tiny_encoder, "has no text encoder"), (["red", "blue"],), {"cache": False}
    ),
    "FeatureExtractor": Case(tiny_method, tiny_encoder, "clip-lite", (NoEncoder, "has no image encoder")),
    "DescriptorMatcher": Case(
        tiny_method,
        tiny_encoder,
        "lab:4",
        (NoEncoder, "has no image encoder"),
        call={"at": [(10, 20), (40.5, 7)]},
        prepare=lambda match: match.set_reference(frame(9)),
    ),
    "LabelPropagator": Case(
        tiny_method,
        tiny_encoder,
        "lab",
        (NoEncoder, "has no image encoder"),
        options={"resolution": 48},
        call={"mask": mask()},
        video=True,
    ),
    "Colorizer": Case(tiny_colorization, None, "colorization-lite", (tiny_encoder, "predicts no colors")),
}


def build(cls: type, model: Any = None, **options: Any) -> Any:
    case = CASES[cls.__name__]
    model = case.method() if model is None else model
    predictor = cls(model, *case.arguments, **{"device": "cpu", **case.options, **options})
    case.prepare(predictor)
    return predictor


def call(predictor: Any, inputs: Any, **options: Any) -> list[Any]:
    return predictor(inputs, **{**CASES[type(predictor).__name__].call, **options})


def stream(predictor: Any, inputs: Any) -> Any:
    return predictor.stream(inputs, **CASES[type(predictor).__name__].call)


def inputs_of(cls: type) -> Any:
    """Three images, or a video of three frames."""
    if CASES[cls.__name__].video:
        return np.stack([frame(0, shift) for shift in (0, 2, 4)])
    return [frame(seed) for seed in range(3)]


def assert_alike(found: list[Any], expected: list[Any], tolerance: float = 1e-4, over: Any = np.max) -> None:
    """All fields are equal up to a fraction of their range; pixels may be rounded the other way."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other)
        for attribute in dataclasses.fields(one):
            a, b = getattr(one, attribute.name), getattr(other, attribute.name)
            if isinstance(a, tuple):
                assert a == b
            else:
                pixels = isinstance(a, np.ndarray) and tolerance > 0
                a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
                assert over(np.abs(a - b)) <= max(pixels, tolerance * max(1, np.abs(b).max()))


def differ(one: Any, other: Any) -> bool:
    names = [attribute.name for attribute in dataclasses.fields(one)]
    return any(not np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


each_predictor = pytest.mark.parametrize("cls", PREDICTORS, ids=lambda cls: cls.__name__)
image_predictors = pytest.mark.parametrize(
    "cls",
    [cls for cls in PREDICTORS if cls.__name__ not in CASES or not CASES[cls.__name__].video],
    ids=lambda cls: cls.__name__,
)
video_predictors = pytest.mark.parametrize(
    "cls", [cls for cls in PREDICTORS if cls.__name__ in CASES and CASES[cls.__name__].video], ids=lambda c: c.__name__
)


def test_every_predictor_has_a_case():
    assert {cls.__name__ for cls in PREDICTORS} == set(CASES)
    public = {name for name in mmcontrast.predict.__all__ if inspect.isclass(getattr(mmcontrast.predict, name))}
    assert {cls.__name__ for cls in PREDICTORS} <= public


@each_predictor
def test_options_have_the_same_names_and_order(cls):
    parameters = [p for p in inspect.signature(cls).parameters.values() if p.name not in ("model", "labels")]
    assert tuple(p.name for p in parameters[: len(OPTIONS)]) == OPTIONS
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters)
    assert next(iter(inspect.signature(cls).parameters)) == "model"


@each_predictor
def test_a_method_a_path_and_an_encoder_serve_alike(cls, tmp_path):
    case, inputs = CASES[cls.__name__], inputs_of(cls)
    expected = call(build(cls), inputs)
    if cls.__name__ != "ZeroShotClassifier":  # whose tiny model is none that can be exported
        path = export(case.method(), tmp_path / "model", dtype="float32")
        assert_alike(call(build(cls, path), inputs), expected)
        assert_alike(call(build(cls, str(path)), inputs), expected)
    if case.encoder:
        assert_alike(call(build(cls, case.encoder()), inputs), expected)


@each_predictor
def test_a_name_serves(cls):
    values = call(build(cls, CASES[cls.__name__].bundled), inputs_of(cls))
    assert len(values) == 3


@each_predictor
def test_a_wrong_model_is_told_what_it_lacks(cls):
    make, message = CASES[cls.__name__].wrong
    for model, reason in ((make(), message), (make, "is no model"), (None, "is no model"), ("nothing", "No model")):
        with pytest.raises(InputError, match=reason) as error:
            cls(model, *CASES[cls.__name__].arguments)
        assert len(str(error.value)) < 300
        assert "\n" not in str(error.value)


@each_predictor
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"resolution": 0}, {"dtype": "int8"}, {"dtype": torch.int8}, {"device": "abacus"}],
    ids=str,
)
def test_impossible_options_are_refused_by_name(cls, options):
    with pytest.raises(InputError, match=next(iter(options))):
        build(cls, **options)


@each_predictor
def test_values_are_frozen_and_on_the_cpu(cls):
    for value in call(build(cls), inputs_of(cls)):
        assert dataclasses.is_dataclass(value)
        assert value.__dataclass_params__.frozen
        for attribute in dataclasses.fields(value):
            member = getattr(value, attribute.name)
            assert isinstance(member, torch.Tensor | np.ndarray | tuple)
            if isinstance(member, torch.Tensor):
                assert member.device.type == "cpu"
                assert member.dtype in (torch.float32, torch.bool)
                assert not member.is_inference()  # such a tensor cannot be trained on
            if isinstance(member, np.ndarray):
                assert member.dtype == np.uint8


@image_predictors
def test_every_kind_of_image_gives_the_same(cls, tmp_path):
    array = frame(1)
    file = tmp_path / "photos" / "deep" / "a.png"
    file.parent.mkdir(parents=True)
    Image.fromarray(array).save(file)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    predictor = build(cls)
    expected = call(predictor, array)
    assert len(expected) == 1
    one = [
        file,
        str(file),
        file.read_bytes(),
        Image.fromarray(array),
        tensor,
        [array],
        iter([file]),
        tmp_path,
        [[file]],
    ]
    for image in one:
        assert_alike(call(predictor, image), expected, 0)
    for several in (np.stack([array] * 2), torch.stack([tensor] * 2), (p for p in (file, tensor)), [tmp_path, file]):
        assert_alike(call(predictor, several), expected * 2)
    assert call(predictor, []) == []


@image_predictors
def test_bad_images_among_good_ones(cls, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    images = [frame(0), broken, frame(1), tmp_path / "absent.png", None, 3, frame(2)]
    predictor = build(cls, batch_size=2)
    results = list(stream(predictor, images))
    assert [result.item is image for result, image in zip(results, images, strict=True)] == [True] * 7
    assert [result.error is None for result in results] == [True, False, True, False, False, False, True]
    assert all((result.value is None) is (result.error is not None) for result in results)
    assert str(broken) in results[1].error
    assert "absent.png: no such file" in results[3].error
    assert "is no image" in results[4].error
    assert_alike([r.value for r in results if r.value is not None], call(predictor, [frame(i) for i in range(3)]))
    with pytest.raises(InputError, match=r"broken\.jpg"):
        call(predictor, images)


@image_predictors
def test_a_stream_is_read_no_further_than_needed(cls):
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield frame(0)

    results = stream(build(cls, batch_size=2), endless())
    for _ in range(3):
        next(results)
    results.close()
    assert len(drawn) <= 8


@video_predictors
def test_every_kind_of_video_gives_the_same(cls, tmp_path):
    video = inputs_of(cls)
    (tmp_path / "frames").mkdir()
    for number, image in enumerate(video):
        Image.fromarray(image).save(tmp_path / "frames" / f"{number}.png")
    with VideoWriter(tmp_path / "video.mp4", 25) as writer:
        for image in video:
            writer.write(image)
    predictor = build(cls)
    expected = call(predictor, video)
    assert len(expected) == 3
    for kind in (tmp_path / "frames", str(tmp_path / "frames"), open_video(video)):
        assert_alike(call(predictor, kind), expected, 0)
    file = call(predictor, VideoFile(tmp_path / "video.mp4"))
    assert_alike(call(predictor, tmp_path / "video.mp4"), file, 0)
    assert [result.item for result in stream(predictor, video)] == [0, 1, 2]


@video_predictors
def test_a_video_that_breaks_off_gives_the_frames_before(cls, tmp_path):
    for number, image in enumerate(inputs_of(cls)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    predictor = build(cls)
    results = list(stream(predictor, tmp_path))
    assert [result.item for result in results] == [0, 1, 2]
    assert [result.error is None for result in results] == [True, True, False]
    assert "2.png" in results[2].error
    with pytest.raises(InputError, match=r"2\.png"):
        call(predictor, tmp_path)
    (absent,) = stream(predictor, tmp_path / "absent.mp4")
    assert "absent.mp4" in absent.error


@each_predictor
def test_the_batch_size_changes_nothing(cls):
    inputs = inputs_of(cls)
    expected = call(build(cls, batch_size=1), inputs)
    for batch_size in (2, 3, 100):
        assert_alike(call(build(cls, batch_size=batch_size), inputs), expected)


@each_predictor
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", ["float32", torch.bfloat16])
def test_devices_and_dtypes(cls, device, dtype):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    inputs = inputs_of(cls)
    values = call(build(cls, device=device, dtype=dtype), inputs)
    expected = call(build(cls), inputs)
    if dtype == "float32":
        assert_alike(values, expected, 1e-6 if device == "cpu" else 1e-2)
    else:  # a few pixels and ties may be decided the other way
        assert_alike(values, expected, 0.05, np.median)
        if cls.__name__ != "ZeroShotClassifier":  # whose tiny model multiplies no matrices
            assert any(differ(one, other) for one, other in zip(values, expected, strict=True))


@each_predictor
def test_threads_may_share_a_predictor(cls):
    video = CASES[cls.__name__].video
    sets = [np.stack([frame(seed, shift) for shift in (0, 2)]) for seed in range(8)]
    predictor = build(cls, batch_size=1)
    expected = [call(predictor, images) for images in sets]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(1 if video else 3):
            found = list(threads.map(lambda images: call(predictor, images), sets))
            for one, other in zip(found, expected, strict=True):
                assert_alike(one, other, 1e-6)


@pytest.mark.parametrize("cls", TRACKERS, ids=lambda cls: cls.__name__)
def test_trackers_take_the_same_videos_and_annotations(cls, tmp_path):
    tracker = build(cls) if cls.__name__ in CASES else cls()
    video = np.stack([frame(0, shift) for shift in (0, 2, 4)])
    (tmp_path / "frames").mkdir()
    for number, image in enumerate(video):
        Image.fromarray(image).save(tmp_path / "frames" / f"{number}.png")
    expected = tracker.masks(video, mask())
    assert expected.shape == (3, HEIGHT, WIDTH)
    assert expected.dtype == np.uint8
    assert (expected[0] == mask()).all()
    for kind in (tmp_path / "frames", open_video(video)):
        assert (tracker.masks(kind, mask()) == expected).all()
    points = tracker.points(video, [(10, 20), (40.5, 7)])
    assert points.xy.shape == (3, 2, 2)
    assert points.confidence.shape == points.visible.shape == (3, 2)
    assert points.xy[0].tolist() == [[10, 20], [40.5, 7]]
    for bad in (mask()[:20], mask() * 0, mask().astype(float)):
        with pytest.raises(InputError):
            tracker.iter_masks(video, bad)
    with pytest.raises(InputError, match="outside the frame"):
        tracker.iter_points(video, [(WIDTH, 3)])
    with pytest.raises(InputError, match="wanted"):
        tracker.iter_points(video, "abc")
