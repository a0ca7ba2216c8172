"""Data sets, readers and device-side augmentations, importable by short name."""

from mmcontrast.data.augment import MultiCrop as MultiCrop
from mmcontrast.data.augment import OneView as OneView
from mmcontrast.data.augment import ToFloat as ToFloat
from mmcontrast.data.augment import TwoViews as TwoViews
from mmcontrast.data.collate import Collate as Collate
from mmcontrast.data.collate import CorruptCount as CorruptCount
from mmcontrast.data.decode import ImageError as ImageError
from mmcontrast.data.images import Images as Images
from mmcontrast.data.matches import FindMatches as FindMatches
from mmcontrast.data.mixture import Mixture as Mixture
from mmcontrast.data.pair_augment import PairAugment as PairAugment
from mmcontrast.data.pairs import ImageText as ImageText
from mmcontrast.data.sampler import Key as Key
from mmcontrast.data.sampler import KeyedSampler as KeyedSampler
from mmcontrast.data.scene_pairs import ScenePairs as ScenePairs
from mmcontrast.data.synthetic import ToyImages as ToyImages
from mmcontrast.data.synthetic import ToyPairs as ToyPairs
from mmcontrast.data.toy_scene import ToyViews as ToyViews
from mmcontrast.data.warps import FlowPairs as FlowPairs
from mmcontrast.data.warps import PicturePairs as PicturePairs
from mmcontrast.data.warps import RandomWarp as RandomWarp
