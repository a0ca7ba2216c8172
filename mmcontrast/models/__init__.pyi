from .bundle import bundled as bundled
from .exporting import export as export
from .hub import push_to_hub as push_to_hub
from .loading import load as load
from .loading import load_encoder as load_encoder
from .onnx import export_onnx as export_onnx
