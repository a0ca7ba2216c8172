"""Losses as pure functions of tensors, computed in at least float32."""

import lazy_loader

# The stub file beside this one lists the public names; each is imported at first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
