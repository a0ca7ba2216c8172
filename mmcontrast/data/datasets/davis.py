"""The DAVIS data sets as they are unpacked: videos as folders of frames, with object masks.

DAVIS-2016 (Perazzi et al., CVPR 2016) has one object a video; DAVIS-2017 (1704.00675) several, and in its unsupervised
form (1905.00737) other annotations of the same videos.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from mmcontrast.data.io.decode import FORMATS
from mmcontrast.data.io.masks import read_mask
from mmcontrast.data.io.video import FrameFolder
from mmcontrast.errors import InputError

Task = Literal["semi-supervised", "unsupervised"]
VOID = 255


class Davis:
    """Videos and object masks below a ``DAVIS`` folder.

    Args:
        root: the folder that holds JPEGImages and Annotations, or its parent.
        year: 2016 (one object: all that is annotated) or 2017; None: 2017 where ImageSets/2017 exists.
        split: a list in ImageSets/YEAR, such as "val"; None: val where it exists, else every annotated video.
        sequences: names of videos in place of a split.
        task: "unsupervised" reads Annotations_unsupervised, for 2017.
        resolution: subfolder, such as 480p or Full-Resolution.
    Raises:
        InputError: no such folder, split or video.
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
        """The frames of a video."""
        return FrameFolder(self._frames / sequence, fps=24.0)

    def annotations(self, sequence: str) -> list[Path]:
        """Its mask files in order, one a frame."""
        return sorted((self._masks / sequence).glob("*.png"))

    def read(self, path: Path) -> np.ndarray:
        """A mask file of the truth or of a result -> (H, W) uint8 ids; one id for 2016."""
        if self.year == 2017:
            return read_mask(path)
        with Image.open(path, formats=FORMATS) as image:
            pixels = np.array(image)
            bar = 127 if image.mode == "L" else 0
        return (pixels > bar).astype(np.uint8)

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
