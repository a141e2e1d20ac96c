"""Groups and permissions of repoze.what, kept in Redis."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

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
from .copying import CopyError, copy_sections
from .findings import Finding, Problem
from .layouts.replication import TooFewReplicas
from .near_cache.cache import NearCacheInfo
from .pair import Adapters, adapters_from_settings
from .renaming import LeftPermissions, RenamingInterrupted

__all__ = [
    "AdapterError",
    "Adapters",
    "CopyError",
    "ExistingSectionError",
    "Finding",
    "ItemNotPresentError",
    "ItemPresentError",
    "LeftPermissions",
    "NearCacheInfo",
    "NonExistingSectionError",
    "Problem",
    "RedisGroupAdapter",
    "RedisPermissionAdapter",
    "RenamingInterrupted",
    "SourceError",
    "SourceUnavailable",
    "TooFewReplicas",
    "adapters_from_settings",
    "copy_sections",
    "make_metadata_provider",
]


make_metadata_provider: Callable[..., Any]


def __getattr__(name: str) -> Any:
    # It brings repoze.who and WebOb, which most that import this package do without.
    if name == "make_metadata_provider":
        return import_module(".paste", __name__).make_metadata_provider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
