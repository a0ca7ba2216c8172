"""The options of label propagation, for ``predict track``, ``eval davis`` and ``eval keypoints``."""

from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from mmcontrast.predict.track import LabelPropagator

TrackModel = Annotated[
    str | None,
    Option(
        "--model",
        metavar="MODEL",
        help="Name of a bundled model, folder of a run or an export, or any other name that mmcontrast.load takes; "
        "lab needs no model. Without it, the bundled track-lite, or else lab.",
    ),
]
Preset = Annotated[
    str, Option(metavar="NAME", help="Settings of a paper to start from: dino, crw, mast, dinov3 or vondrick.")
]
Context = Annotated[int | None, Option(metavar="N", help="Number of last frames in memory. Without it, the preset's.")]
TopK = Annotated[
    int | None, Option("--topk", metavar="K", help="Number of cells to copy labels from. Without it, the preset's.")
]
Radius = Annotated[float | None, Option(metavar="CELLS", help="Radius of the search window. Without it, the preset's.")]
PropagationTemperature = Annotated[
    float | None,
    Option(
        "--temperature", metavar="T", help="Temperature of the softmax over similarities. Without it, the preset's."
    ),
]


def propagator(
    model: str | None,
    preset: str = "dino",
    context: int | None = None,
    topk: int | None = None,
    radius: float | None = None,
    temperature: float | None = None,
    resolution: int | None = 480,
    dtype: str = "float32",
    device: str | None = None,
) -> "LabelPropagator":
    """Returns the tracker that the options describe."""
    from mmcontrast.predict.track import LabelPropagator, default_model

    return LabelPropagator(
        model or default_model(),
        preset=preset,
        context=context,
        topk=topk,
        radius=radius,
        temperature=temperature,
        resolution=resolution,
        dtype=dtype,
        device=device,
    )
