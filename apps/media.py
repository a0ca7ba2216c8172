"""Example media: photographs that installed packages carry, a pair and a video of this one's own."""

import importlib.util
from pathlib import Path


def _find(package: str, *paths: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return [str(folder / path) for path in paths for folder in folders if (folder / path).is_file()]


PHOTOGRAPHS = [
    *_find("gradio", "media_assets/images/cheetah1.jpg", "media_assets/images/lion.jpg"),
    *_find("gradio", "media_assets/images/tower.jpg"),
    *_find("sklearn", "datasets/images/china.jpg", "datasets/images/flower.jpg"),
]
_OWN = Path(__file__).parent / "examples"
PAIRS = [[str(_OWN / "near.jpg"), str(_OWN / "far.jpg")]]
VIDEOS = [str(_OWN / "toy.mp4")]
