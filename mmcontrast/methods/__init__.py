"""Every method, one file each, importable by short name (a config says ``class_path: CLIP``)."""

from mmcontrast.methods.base import Method as Method
from mmcontrast.methods.clip import CLIP as CLIP
from mmcontrast.methods.dense_object_net import DenseObjectNet as DenseObjectNet

__all__ = ["CLIP", "DenseObjectNet", "Method"]
