"""Representations learned without labels and put to work: image-text, pixel-to-pixel and through time."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcontrast.data.augment import MultiCrop as MultiCrop
    from mmcontrast.data.augment import OneView as OneView
    from mmcontrast.data.augment import ToFloat as ToFloat
    from mmcontrast.data.augment import TwoViews as TwoViews
    from mmcontrast.data.clips import Clips as Clips
    from mmcontrast.data.images import Images as Images
    from mmcontrast.data.matches import FindMatches as FindMatches
    from mmcontrast.data.mixture import Mixture as Mixture
    from mmcontrast.data.moving_crops import MovingCrops as MovingCrops
    from mmcontrast.data.pairs import ImageText as ImageText
    from mmcontrast.data.scene_pairs import ScenePairs as ScenePairs
    from mmcontrast.encoders.hf import HFImage as HFImage
    from mmcontrast.encoders.hf import HFText as HFText
    from mmcontrast.encoders.openclip import OpenClipImage as OpenClipImage
    from mmcontrast.encoders.openclip import OpenClipText as OpenClipText
    from mmcontrast.encoders.timm import TimmEncoder as TimmEncoder
    from mmcontrast.exporting import export as export
    from mmcontrast.loading import load as load
    from mmcontrast.loading import load_encoder as load_encoder
    from mmcontrast.methods.clip import CLIP as CLIP
    from mmcontrast.methods.colorization import Colorization as Colorization
    from mmcontrast.methods.cpc import CPC as CPC
    from mmcontrast.methods.cpc import SoundCPC as SoundCPC
    from mmcontrast.methods.cycle_walk import CycleWalk as CycleWalk
    from mmcontrast.methods.dense_object_net import DenseObjectNet as DenseObjectNet
    from mmcontrast.methods.dino import DINO as DINO
    from mmcontrast.methods.dinov2 import DINOv2 as DINOv2
    from mmcontrast.methods.inpainting import Inpainting as Inpainting
    from mmcontrast.methods.mae import MAE as MAE
    from mmcontrast.methods.moco import MoCo as MoCo
    from mmcontrast.methods.moco_v3 import MoCoV3 as MoCoV3
    from mmcontrast.methods.simclr import SimCLR as SimCLR
    from mmcontrast.methods.split_brain import SplitBrain as SplitBrain
    from mmcontrast.methods.video_color import VideoColor as VideoColor
    from mmcontrast.predict.colorize import Colorizer as Colorizer
    from mmcontrast.predict.correspond import DescriptorMatcher as DescriptorMatcher
    from mmcontrast.predict.features import FeatureExtractor as FeatureExtractor
    from mmcontrast.predict.propagate import LabelPropagator as LabelPropagator
    from mmcontrast.predict.zero_shot import ZeroShotClassifier as ZeroShotClassifier
    from mmcontrast.train.fit import fit as fit

__version__ = "0.1.0"

# Public name -> module that defines it.  Imported at first use, so that `import mmcontrast` and `--help` stay instant.
_PUBLIC = {
    "load": "loading",
    "load_encoder": "loading",
    "export": "exporting",
    "fit": "train.fit",
    "CLIP": "methods.clip",
    "VideoColor": "methods.video_color",
    "CycleWalk": "methods.cycle_walk",
    "DenseObjectNet": "methods.dense_object_net",
    "SimCLR": "methods.simclr",
    "MoCo": "methods.moco",
    "MoCoV3": "methods.moco_v3",
    "DINO": "methods.dino",
    "DINOv2": "methods.dinov2",
    "MAE": "methods.mae",
    "CPC": "methods.cpc",
    "SoundCPC": "methods.cpc",
    "Inpainting": "methods.inpainting",
    "Colorization": "methods.colorization",
    "SplitBrain": "methods.split_brain",
    "TimmEncoder": "encoders.timm",
    "HFText": "encoders.hf",
    "HFImage": "encoders.hf",
    "OpenClipImage": "encoders.openclip",
    "OpenClipText": "encoders.openclip",
    "Images": "data.images",
    "ImageText": "data.pairs",
    "Mixture": "data.mixture",
    "Clips": "data.clips",
    "MovingCrops": "data.moving_crops",
    "ScenePairs": "data.scene_pairs",
    "ToFloat": "data.augment",
    "FindMatches": "data.matches",
    "OneView": "data.augment",
    "TwoViews": "data.augment",
    "MultiCrop": "data.augment",
    "ZeroShotClassifier": "predict.zero_shot",
    "LabelPropagator": "predict.propagate",
    "DescriptorMatcher": "predict.correspond",
    "FeatureExtractor": "predict.features",
    "Colorizer": "predict.colorize",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmcontrast' has no attribute {name!r}; it has {', '.join(sorted(_PUBLIC))}")
    return getattr(importlib.import_module(f"mmcontrast.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
