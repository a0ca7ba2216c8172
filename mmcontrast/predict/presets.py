"""How published methods propagate labels: which frames they remember, and how they search them."""

from dataclasses import dataclass, replace
from typing import Literal

from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_at_least, check_positive
from mmcontrast.ops.affinity import Window


@dataclass(frozen=True)
class Preset:
    """One way of propagating labels.

    Attributes:
        anchors: Numbers of the frames that stay in memory for the whole video.
        recent: Distances in time of the other frames in memory.
        window: The cells that a query may copy from; None allows all.
        topk: Number of most similar cells to copy from; None uses all.
        temperature: Temperature of the softmax over similarities.
        everywhere: Number of anchors that are searched without the window.
        l2_normalize: Whether similarity is the cosine; else it is the product of the features as they are.
        stretch: Whether each label is stretched to [0, 1] over the frame before the labels compete for a pixel.
    """

    anchors: tuple[int, ...]
    recent: tuple[int, ...]
    window: Window | None
    topk: int | None
    temperature: float
    everywhere: int = 0
    l2_normalize: bool = True
    stretch: bool = False

    def context(self, frame: int) -> list[int]:
        """Returns the numbers of the frames that ``frame`` copies from: anchors, then the others, oldest first."""
        anchors = [a for a in self.anchors if a < frame]
        recent = {frame - d for d in self.recent if frame - d >= 0} - set(anchors)
        return anchors + sorted(recent)

    def changed(
        self,
        context: int | None = None,
        topk: int | None = None,
        radius: float | None = None,
        temperature: float | None = None,
    ) -> "Preset":
        """Returns the same preset with some settings replaced; None keeps a setting.

        Args:
            context: Number of last frames in memory.
            topk: Number of cells to copy from.
            radius: Radius of the window in cells.
            temperature: Temperature of the softmax.

        Raises:
            InputError: A value is out of range.
        """
        check_at_least("context", context, 1)
        check_at_least("topk", topk, 1)
        check_at_least("radius", radius, 0)
        check_positive("temperature", temperature)
        shape: Literal["square", "circle"] = self.window.shape if self.window else "square"
        return replace(
            self,
            recent=self.recent if context is None else _last(context),
            topk=self.topk if topk is None else topk,
            window=self.window if radius is None else Window(radius, shape),
            temperature=self.temperature if temperature is None else temperature,
        )


def _last(frames: int) -> tuple[int, ...]:
    return tuple(range(1, frames + 1))


PRESETS = {
    # Caron et al. 2021 (2104.14294), section 4.2.2
    "dino": Preset((0,), _last(7), Window(12), 5, 0.1, stretch=True),
    # Jabri et al. 2020 (2006.14613), appendix: only distances below 12; the first frame is searched everywhere
    "crw": Preset((0,), _last(20), Window(11.99, "circle"), 10, 0.05, everywhere=1),
    # Lai et al. 2020 (2002.07793), section 3.3: long-term and short-term memory
    "mast": Preset((0, 5), (1, 3, 5), Window(12), None, 1.0, l2_normalize=False),
    # Simeoni et al. 2025 (2508.10104), video segmentation tracking
    "dinov3": Preset((0,), _last(7), Window(12, "circle"), 5, 0.2),
    # Vondrick et al. 2018 (1806.09594), section 4
    "vondrick": Preset((), _last(3), None, None, 0.5, l2_normalize=False),
}


def preset_named(name: str) -> Preset:
    """Returns one of ``PRESETS``.

    Raises:
        InputError: There is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
