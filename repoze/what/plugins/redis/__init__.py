"""Groups and permissions of repoze.what, kept in Redis."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repoze.what.adapters import (
        AdapterError,
        ExistingSectionError,
        ItemNotPresentError,
        ItemPresentError,
        NonExistingSectionError,
        SourceError,
        SourceUnavailable,
    )

    from .adapters import RedisGroupAdapter, RedisPermissionAdapter
    from .changes import Change
    from .copying import CopyError, copy_sections
    from .findings import Finding, Problem
    from .following import MissedChanges
    from .layouts.replication import TooFewReplicas
    from .near_cache.cache import NearCacheInfo
    from .pair import Adapters, adapters_from_settings
    from .refusals import EndPastError
    from .renaming import LeftPermissions, RenamingInterrupted
    from .undoing import UndoRefused

__all__ = [
    "AdapterError",
    "Adapters",
    "Change",
    "CopyError",
    "EndPastError",
    "ExistingSectionError",
    "Finding",
    "ItemNotPresentError",
    "ItemPresentError",
    "LeftPermissions",
    "MissedChanges",
    "NearCacheInfo",
    "NonExistingSectionError",
    "Problem",
    "RedisGroupAdapter",
    "RedisPermissionAdapter",
    "RenamingInterrupted",
    "SourceError",
    "SourceUnavailable",
    "TooFewReplicas",
    "UndoRefused",
    "adapters_from_settings",
    "copy_sections",
    "make_metadata_provider",
]

make_metadata_provider: Callable[..., Any]

# Each name is imported when it is asked for. The command line imports this package before it can
# tell what is wrong; and make_metadata_provider brings repoze.who and WebOb, which most that import
# this package do without.
_MODULES = {
    "AdapterError": "repoze.what.adapters",
    "Adapters": ".pair",
    "Change": ".changes",
    "CopyError": ".copying",
    "EndPastError": ".refusals",
    "ExistingSectionError": "repoze.what.adapters",
    "Finding": ".findings",
    "ItemNotPresentError": "repoze.what.adapters",
    "ItemPresentError": "repoze.what.adapters",
    "LeftPermissions": ".renaming",
    "MissedChanges": ".following",
    "NearCacheInfo": ".near_cache.cache",
    "NonExistingSectionError": "repoze.what.adapters",
    "Problem": ".findings",
    "RedisGroupAdapter": ".adapters",
    "RedisPermissionAdapter": ".adapters",
    "RenamingInterrupted": ".renaming",
    "SourceError": "repoze.what.adapters",
    "SourceUnavailable": "repoze.what.adapters",
    "TooFewReplicas": ".layouts.replication",
    "UndoRefused": ".undoing",
    "adapters_from_settings": ".pair",
    "copy_sections": ".copying",
    "make_metadata_provider": ".paste",
}
# These are attributes of the package without being imported by their names.
_SUBMODULES = {
    "adapters",
    "changes",
    "connection",
    "copying",
    "findings",
    "following",
    "layouts",
    "names",
    "near_cache",
    "pair",
    "settings",
    "undoing",
}


# Type checkers are to say what is misspelt.
if not TYPE_CHECKING:  # pragma: no branch

    def __getattr__(name: str) -> Any:
        if name not in _MODULES.keys() | _SUBMODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = import_module(_MODULES.get(name, f".{name}"), __name__)
        except AttributeError as error:
            # Of a dependency that does not fit. Python would say that this has no such name.
            raise ImportError(str(error)) from error
        if name in _SUBMODULES:
            return module
        found = globals()[name] = getattr(module, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
