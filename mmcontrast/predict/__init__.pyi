from .colorize import Colorizer as Colorizer
from .features import FeatureExtractor as FeatureExtractor
from .match import DescriptorMatcher as DescriptorMatcher
from .track import LabelPropagator as LabelPropagator
from .zero_shot import ZeroShotClassifier as ZeroShotClassifier
