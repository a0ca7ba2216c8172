"""Example media: photographs of installed packages, and a pair of images and a video of our own."""

import importlib.util
from pathlib import Path


def _find(package: str, *paths: str) -> list[str]:
    """Returns the files that exist in an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return [str(folder / path) for path in paths for folder in folders if (folder / path).is_file()]


PHOTOGRAPHS = [
    *_find("gradio", "media_assets/images/cheetah1.jpg", "media_assets/images/lion.jpg"),
    *_find("gradio", "media_assets/images/tower.jpg"),
    *_find("sklearn", "datasets/images/china.jpg", "datasets/images/flower.jpg"),
]
_EXAMPLES = Path(__file__).parent / "examples"
PAIRS = [[str(_EXAMPLES / "near.jpg"), str(_EXAMPLES / "far.jpg")]]
VIDEOS = [str(_EXAMPLES / "toy.mp4")]
