"""Images of object classes with keypoints, as in PF-WILLOW (Ham et al. 2016, https://arxiv.org/abs/1511.05065)."""

import json
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.archives import Root
from mmcontrast.data.io.decode import decode
from mmcontrast.data.io.samples import Samples
from mmcontrast.errors import InputError


class KeypointImage(NamedTuple):
    """An image with keypoints.

    Attributes:
        image: (H, W, 3) uint8.
        keypoints: (N, 2) float32, pixels (x, y).
    """

    image: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]


def read_keypoint_images(root: Root) -> dict[str, list[KeypointImage]]:
    """Reads images with KEY.json ``{"keypoints": [[x, y], ...], "class": name}`` beside them.

    An image that appears several times, pixel by pixel, is read once.

    Args:
        root: A folder, a shard, a folder of shards, a pattern, or several of these.

    Returns:
        The images of each class; those of a class have the same number of keypoints.

    Raises:
        InputError: An image has no keypoints, keypoints outside it or another number of keypoints than the first
            image of its class, or no class has two images.
    """
    samples, seen = Samples(root), set()
    classes: dict[str, list[KeypointImage]] = {}
    for index in range(len(samples)):
        name = samples.name(index)
        label, keypoints = _read_record(samples.text(index, "json"), name)
        image = decode(samples.read(index, "image") or b"", name=name)
        if (keypoints < -0.5).any() or (keypoints > np.array(image.shape[1::-1]) + 0.5).any():
            raise InputError(f"{name}: has keypoints outside its {image.shape[1]}x{image.shape[0]} pixels")
        images = classes.setdefault(label, [])
        if images and len(images[0].keypoints) != len(keypoints):
            raise InputError(
                f"{name}: has {len(keypoints)} keypoints, but the first of class {label!r} has "
                f"{len(images[0].keypoints)}"
            )
        if (content := image.tobytes()) not in seen:
            seen.add(content)
            images.append(KeypointImage(image, keypoints))
    if all(len(images) < 2 for images in classes.values()):
        raise InputError(f"{root}: no class has two images")
    return classes


def _read_record(text: str | None, name: str) -> tuple[str, npt.NDArray[np.float32]]:
    """Returns the class and the keypoints (N, 2) of an image's KEY.json."""
    if text is None:
        raise InputError(f"{name}: has no KEY.json with keypoints")
    try:
        record = json.loads(text)
        keypoints = np.asarray(record["keypoints"], np.float32).reshape(-1, 2)
        label = str(record.get("class", "all"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f'{name}: its .json wants {{"keypoints": [[x, y], ...], "class": ...}} ({error!r})') from error
    if not len(keypoints) or not np.isfinite(keypoints).all():
        raise InputError(f"{name}: has keypoints {keypoints.tolist()}; wanted pixels [[x, y], ...]")
    return label, keypoints
