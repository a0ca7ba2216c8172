"""Image and text encoders behind one interface, importable by short name (``class_path: TimmEncoder``)."""

import importlib
from typing import TYPE_CHECKING, Any

from mmcontrast.encoders.base import Encoder as Encoder
from mmcontrast.encoders.base import TextEncoder as TextEncoder
from mmcontrast.encoders.base import Tokenizer as Tokenizer

if TYPE_CHECKING:
    from mmcontrast.encoders.audio import WaveEncoder as WaveEncoder
    from mmcontrast.encoders.hf import HFImage as HFImage
    from mmcontrast.encoders.hf import HFText as HFText
    from mmcontrast.encoders.nin import NIN as NIN
    from mmcontrast.encoders.openclip import OpenClipImage as OpenClipImage
    from mmcontrast.encoders.openclip import OpenClipText as OpenClipText
    from mmcontrast.encoders.patch_grid import PatchGrid as PatchGrid
    from mmcontrast.encoders.pixels import LabPatches as LabPatches
    from mmcontrast.encoders.pixels import RawPixels as RawPixels
    from mmcontrast.encoders.resnet import ResNet as ResNet
    from mmcontrast.encoders.timm import TimmEncoder as TimmEncoder
    from mmcontrast.encoders.tiny import TinyConv as TinyConv
    from mmcontrast.encoders.tiny import TinyText as TinyText
    from mmcontrast.encoders.vit import ViT as ViT

# Short name -> module.  Imported at first use: each of timm, transformers and open_clip takes seconds.
_LAZY = {
    "HFImage": "hf",
    "HFText": "hf",
    "NIN": "nin",
    "OpenClipImage": "openclip",
    "OpenClipText": "openclip",
    "LabPatches": "pixels",
    "RawPixels": "pixels",
    "PatchGrid": "patch_grid",
    "ResNet": "resnet",
    "TimmEncoder": "timm",
    "TinyConv": "tiny",
    "TinyText": "tiny",
    "ViT": "vit",
    "WaveEncoder": "audio",
}
__all__ = ["Encoder", "TextEncoder", "Tokenizer", *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mmcontrast.encoders' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"mmcontrast.encoders.{_LAZY[name]}"), name)
