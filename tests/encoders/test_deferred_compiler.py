"""timm is imported without torch's compiler, which works all the same when it is used."""

import subprocess
import sys

CODE = """
import sys
import torch
from mmcontrast.encoders import TimmEncoder
from mmcontrast.encoders.deferred_compiler import deferred_compiler, timm

encoder = TimmEncoder("test_vit").eval()
encoder(torch.rand(1, 3, 32, 32))
assert "torch._dynamo" not in sys.modules

from torchvision.ops import roi_align
boxes = torch.tensor([[0.0, 0, 0, 4, 4]])
assert torch.allclose(roi_align(torch.ones(1, 1, 8, 8), boxes, 2), torch.ones(1, 1, 2, 2))
with deferred_compiler():
    marked = torch.compiler.disable(lambda x: x + 1)
    @torch.compiler.disable
    def also(x):
        return x + 2
assert (marked(1), also(1)) == (2, 3)

import torch._dynamo
assert torch._dynamo.config.cache_size_limit
compiled = torch.compile(lambda x: x * 2 + 1, backend="eager")
assert torch.equal(compiled(torch.ones(2)), torch.full((2,), 3.0))
with deferred_compiler():
    assert sys.modules["torch._dynamo"] is torch._dynamo
net = timm.create_model("naflexvit_base_patch16_gap", depth=1, pretrained=False).eval()
assert net(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
"""


def test_the_compiler_is_imported_at_its_first_use():
    subprocess.run([sys.executable, "-c", CODE], check=True)


def test_what_the_stand_in_lacks_comes_from_the_compiler():
    code = """
import sys
from mmcontrast.encoders.deferred_compiler import deferred_compiler
assert "torch._dynamo" not in sys.modules
with deferred_compiler():
    from torch._dynamo import reset
    from torch._dynamo.utils import counters
import torch
assert torch._dynamo.reset is reset
"""
    subprocess.run([sys.executable, "-c", code], check=True)
