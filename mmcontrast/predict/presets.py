"""How published methods propagate labels: which frames are remembered, where and how softly they are looked up."""

from dataclasses import dataclass, replace
from typing import Literal

from mmcontrast.errors import InputError
from mmcontrast.ops.affinity import Window


@dataclass(frozen=True)
class Preset:
    """One way of propagating labels.

    Attributes:
        anchors: numbers of the frames that stay in memory for the whole video.
        recent: distances in time of the other frames in memory.
        window: where a cell looks in them; None is everywhere.
        topk: cells that it copies from; None is all.
        temperature: of the softmax over similarities.
        everywhere: so many anchors are searched without the window.
        unit: similarity is the cosine; else the product of the features as they come.
        stretch: before the labels compete for a pixel, each is stretched to [0, 1] over the frame.
    """

    anchors: tuple[int, ...]
    recent: tuple[int, ...]
    window: Window | None
    topk: int | None
    temperature: float
    everywhere: int = 0
    unit: bool = True
    stretch: bool = False

    def context(self, frame: int) -> list[int]:
        """Numbers of the frames that ``frame`` copies from: anchors, then the others, oldest first."""
        anchors = [a for a in self.anchors if a < frame]
        recent = {frame - d for d in self.recent if frame - d >= 0} - set(anchors)
        return anchors + sorted(recent)

    def changed(
        self, context: int | None, topk: int | None, radius: float | None, temperature: float | None
    ) -> "Preset":
        """The same with what is given replaced: frames remembered, top-k, radius in cells, temperature."""
        for name, value, least in (("context", context, 1), ("topk", topk, 1), ("radius", radius, 0)):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; wanted at least {least}")
        if temperature is not None and temperature <= 0:
            raise InputError(f"temperature is {temperature}; wanted more than 0")
        shape: Literal["square", "circle"] = self.window.shape if self.window else "square"
        return replace(
            self,
            recent=self.recent if context is None else tuple(range(1, context + 1)),
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
    "mast": Preset((0, 5), (1, 3, 5), Window(12), None, 1.0, unit=False),
    # Simeoni et al. 2025 (2508.10104), video segmentation tracking
    "dinov3": Preset((0,), _last(7), Window(12, "circle"), 5, 0.2),
    # Vondrick et al. 2018 (1806.09594), section 4
    "vondrick": Preset((), _last(3), None, None, 0.5, unit=False),
}


def preset_named(name: str) -> Preset:
    """One of ``PRESETS``.

    Raises:
        InputError: no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
