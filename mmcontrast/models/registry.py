"""The classes that a config may name: those of mmcontrast, and those that trusted packages register."""

import importlib
import inspect
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mmcontrast.configurable import Configurable
from mmcontrast.errors import InputError, summarize

_PACKAGES = ("methods", "encoders")
_GROUPS = tuple(f"mmcontrast.{package}" for package in _PACKAGES)


def find_class(class_path: object, trust: Iterable[str] = ()) -> type[Configurable]:
    """Finds a method or an encoder; code of other packages is imported only if they are trusted.

    Args:
        class_path: A public name such as "SimCLR", a path in mmcontrast that ends in one, or the name or path of a
            class that a trusted package registers as entry point of ``mmcontrast.methods`` or ``mmcontrast.encoders``.
        trust: Names of trusted packages, such as "their_package".

    Returns:
        The class.

    Raises:
        InputError: There is no such class, or its package is not trusted.
    """
    if not isinstance(class_path, str):
        raise InputError(f"The config names the class {class_path!r}; wanted its name, such as SimCLR.")
    package, _, name = class_path.rpartition(".")
    if package.partition(".")[0] in ("", "mmcontrast"):
        for home in (importlib.import_module(group) for group in _GROUPS):
            if name in home.__all__:
                return _configurable(class_path, getattr(home, name))
    if cls := _find_registered(class_path, set(trust)):
        return cls
    owner = package.partition(".")[0]
    if owner in ("", "mmcontrast"):
        raise InputError(f"The config names {class_path}, which is no method or encoder of mmcontrast.")
    if owner in trust:
        raise InputError(
            f"The config names {class_path}, but {owner} registers no such class as an entry point of "
            f"{' or '.join(_GROUPS)}; is it installed?"
        )
    raise InputError(
        f"The config names {class_path}; only classes of mmcontrast are built when loading. If you trust the package, "
        f"which runs its code, load with trust=[{owner!r}]."
    )


def registered(trust: Iterable[str]) -> list[EntryPoint]:
    """Returns the methods and encoders that these packages register, without importing anything."""
    packages = set(trust)
    return [
        point for group in _GROUPS for point in entry_points(group=group) if point.module.partition(".")[0] in packages
    ]


def construct(cls: type[Configurable], arguments: dict[str, Any]) -> Configurable:
    """Builds an object and says in one sentence what is wrong with its arguments.

    Args:
        cls: A method or an encoder.
        arguments: Arguments of its constructor.

    Returns:
        The object.

    Raises:
        InputError: The constructor does not take these arguments or fails.
    """
    check_arguments(cls, arguments)
    try:
        return cls(**arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{cls.__name__} cannot be built from these arguments: {type(error).__name__}: {summarize(error)}."
        ) from error


def check_arguments(function: Callable[..., Any], arguments: dict[str, Any], positional: int = 0) -> None:
    """Checks that a function or class takes these arguments after ``positional`` others.

    Raises:
        InputError: It does not.
    """
    try:
        inspect.signature(function).bind(*[None] * positional, **arguments)
    except TypeError as error:
        raise InputError(f"{function.__name__}: {error}") from error


def _find_registered(class_path: str, trust: set[str]) -> type[Configurable] | None:
    """Returns the class of an entry point with this name or path; a class may be defined below where it is named."""
    for point in registered(trust):
        if class_path not in (point.name, f"{point.module}.{point.attr}"):
            owner, _, name = class_path.rpartition(".")
            if name != point.attr.rpartition(".")[2] or owner.partition(".")[0] not in trust:
                continue
        try:
            cls = point.load()
        except Exception as error:
            raise InputError(
                f"{point.value} cannot be imported: {type(error).__name__}: {summarize(error)}."
            ) from error
        if class_path in (point.name, f"{point.module}.{point.attr}", f"{cls.__module__}.{cls.__qualname__}"):
            return _configurable(class_path, cls)
    return None


def _configurable(class_path: str, cls: object) -> type[Configurable]:
    if not (isinstance(cls, type) and issubclass(cls, Configurable)):
        raise InputError(f"The config names {class_path}, which is no method or encoder.")
    return cls
