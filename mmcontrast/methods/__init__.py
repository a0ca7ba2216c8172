"""Every method, one file each, importable by short name (a config says ``class_path: CLIP``)."""

import importlib
from typing import TYPE_CHECKING, Any

from mmcontrast.methods.base import Method as Method
from mmcontrast.methods.clip import CLIP as CLIP
from mmcontrast.methods.colorization import Colorization as Colorization
from mmcontrast.methods.cpc import CPC as CPC
from mmcontrast.methods.cpc import SoundCPC as SoundCPC
from mmcontrast.methods.cycle_walk import CycleWalk as CycleWalk
from mmcontrast.methods.dense_object_net import DenseObjectNet as DenseObjectNet
from mmcontrast.methods.dino import DINO as DINO
from mmcontrast.methods.inpainting import Inpainting as Inpainting
from mmcontrast.methods.jigsaw import Jigsaw as Jigsaw
from mmcontrast.methods.moco import MoCo as MoCo
from mmcontrast.methods.moco_v3 import MoCoV3 as MoCoV3
from mmcontrast.methods.relative_patch import RelativePatch as RelativePatch
from mmcontrast.methods.rotation import Rotation as Rotation
from mmcontrast.methods.simclr import SimCLR as SimCLR
from mmcontrast.methods.split_brain import SplitBrain as SplitBrain
from mmcontrast.methods.video_color import VideoColor as VideoColor

if TYPE_CHECKING:
    from mmcontrast.methods.dinov2 import DINOv2 as DINOv2
    from mmcontrast.methods.mae import MAE as MAE

# Name -> module.  Imported at first use: timm, whose transformers they work on, takes seconds.
_LAZY = {"DINOv2": "dinov2", "MAE": "mae"}
__all__ = [
    "CLIP",
    "CPC",
    "DINO",
    "Colorization",
    "CycleWalk",
    "DenseObjectNet",
    "Inpainting",
    "Jigsaw",
    "Method",
    "MoCo",
    "MoCoV3",
    "RelativePatch",
    "Rotation",
    "SimCLR",
    "SoundCPC",
    "SplitBrain",
    "VideoColor",
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mmcontrast.methods' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"mmcontrast.methods.{_LAZY[name]}"), name)
