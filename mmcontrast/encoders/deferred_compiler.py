"""Import of timm without torch's compiler.

timm and torchvision import ``torch._dynamo``, which takes 2 s of CPU time, for two functions: ``disable`` marks
functions that are not to be compiled, and ``is_compile_supported`` is called when such a function runs.
``deferred_compiler`` puts functions in their place that import the compiler at their first call. Any other use imports
it at once.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


class _StandIn(ModuleType):
    """A module that imports the real one when it is asked for an attribute that it lacks."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


@contextmanager
def deferred_compiler() -> Iterator[None]:
    """Imports modules inside the block without ``torch._dynamo``; does nothing if that is imported already."""
    if _COMPILER in sys.modules:
        yield
        return
    compiler, utils = _StandIn(_COMPILER), _StandIn(_UTILS)
    specification = importlib.util.find_spec("torch")
    folders = (specification and specification.submodule_search_locations) or ()
    compiler.__path__ = [f"{folder}/_dynamo" for folder in folders]
    vars(compiler).update(disable=_disable, utils=utils)
    vars(utils).update(is_compile_supported=_is_compile_supported)
    sys.modules.update({_COMPILER: compiler, _UTILS: utils})
    try:
        yield
    finally:
        _remove()


def _real(name: str) -> Any:
    """Imports a module in place of its stand-in."""
    _remove()
    return importlib.import_module(name)


def _remove() -> None:
    for name in (_COMPILER, _UTILS):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _disable(function: Any = None, *arguments: Any, **options: Any) -> Any:
    """Stands in for ``torch._dynamo.disable``."""
    if not callable(function) or isinstance(function, type):
        return _real(_COMPILER).disable(function, *arguments, **options)

    @functools.cache
    def disabled() -> Callable[..., Any]:
        real: Callable[..., Any] = _real(_COMPILER).disable(function, *arguments, **options)
        return real

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return disabled()(*args, **kwargs)

    return call


def _is_compile_supported(device: Any) -> Any:
    """Stands in for ``torch._dynamo.utils.is_compile_supported``."""
    return _real(_UTILS).is_compile_supported(device)


with deferred_compiler():
    import timm as timm
