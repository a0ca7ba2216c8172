from .exporting import export as export
from .loading import bundled as bundled
from .loading import load as load
from .loading import load_encoder as load_encoder
