"""The DAVIS data sets as they are unpacked: videos as folders of frames, with object masks.

DAVIS-2016 (Perazzi et al., CVPR 2016) has one object a video; DAVIS-2017 (1704.00675) several, and in its unsupervised
form (1905.00737) other annotations of the same videos.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmcontrast.data.io.decode import FORMATS
from mmcontrast.data.io.folders import is_hidden, natural_order
from mmcontrast.data.io.masks import read_mask
from mmcontrast.data.io.video import FrameFolder
from mmcontrast.errors import InputError

Task = Literal["semi-supervised", "unsupervised"]
VOID = 255


class Davis:
    """Videos and object masks below a ``DAVIS`` folder.

    Args:
        root: The folder that holds JPEGImages and Annotations, or its parent.
        year: 2016 (all that is annotated is one object) or 2017. None takes 2017 where ImageSets/2017 exists.
        split: A list in ImageSets/YEAR, such as "val". None takes val where it exists, otherwise every annotated video.
        sequences: Names of videos in place of a split.
        task: "unsupervised" reads Annotations_unsupervised, for 2017.
        resolution: The subfolder, such as 480p or Full-Resolution.

    Raises:
        InputError: There is no such folder, split or video.
    """

    def __init__(
        self,
        root: str | Path,
        year: int | None = None,
        split: str | None = None,
        sequences: Sequence[str] | None = None,
        task: Task = "semi-supervised",
        resolution: str = "480p",
    ) -> None:
        root = Path(root)
        self.root = root / "DAVIS" if (root / "DAVIS").is_dir() else root
        folder = "Annotations_unsupervised" if task == "unsupervised" else "Annotations"
        self._frames, self._masks = (self.root / name / resolution for name in ("JPEGImages", folder))
        for path in (self._frames, self._masks):
            if not path.is_dir():
                raise InputError(f"{root}: has no {path.relative_to(self.root)}; wanted DAVIS as it is unpacked")
        self.year = year or (2017 if (self.root / "ImageSets" / "2017").is_dir() else 2016)
        if self.year not in (2016, 2017):
            raise InputError(f"year is {year}; DAVIS is of 2016 or 2017")
        self.task = task
        self.sequences = list(sequences) if sequences else self._listed(split)
        for name in self.sequences:
            if not (self._frames / name).is_dir() or not self.annotations(name):
                known = sorted(path.name for path in self._masks.iterdir())
                raise InputError(f"{self.root}: has no video {name!r} with frames and masks; it has {', '.join(known)}")

    def video(self, sequence: str) -> FrameFolder:
        """Returns the frames of a video."""
        return FrameFolder(self._frames / sequence, fps=24.0)

    def annotations(self, sequence: str) -> list[Path]:
        """Returns the mask files of a video in the order of its frames."""
        masks = (path for path in (self._masks / sequence).glob("*.png") if not is_hidden(path.name))
        return sorted(masks, key=lambda path: natural_order(path.name))

    def read(self, path: Path) -> npt.NDArray[np.uint8]:
        """Returns a mask file of the truth or of a result as (H, W) uint8 ids; DAVIS-2016 has the one id 1."""
        if self.year == 2017:
            return read_mask(path)
        with Image.open(path, formats=FORMATS) as image:
            pixels = np.array(image)
            threshold = 127 if image.mode == "L" else 0
        return (pixels > threshold).astype(np.uint8)

    def _listed(self, split: str | None) -> list[str]:
        file = self.root / "ImageSets" / str(self.year) / f"{split or 'val'}.txt"
        if not file.is_file():
            if split:
                known = sorted(path.stem for path in file.parent.glob("*.txt"))
                raise InputError(f"{file}: no such split; there are {', '.join(known) or 'none'}")
            return sorted(path.name for path in self._masks.iterdir() if any(path.glob("*.png")))
        lines = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
        names = [Path(line).parent.name if "/" in line else line for line in lines]  # 2016 lists pairs of files
        return list(dict.fromkeys(names))
