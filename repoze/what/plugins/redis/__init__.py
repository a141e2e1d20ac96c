"""Groups and permissions of repoze.what, kept in Redis."""

from repoze.what.adapters import SourceUnavailable

from .adapters import RedisGroupAdapter, RedisPermissionAdapter
from .copying import CopyError, copy_sections
from .findings import Finding
from .layouts.replication import TooFewReplicas
from .near_cache.cache import NearCacheInfo
from .pair import Adapters, adapters_from_settings
from .paste import make_metadata_provider

__all__ = [
    "Adapters",
    "CopyError",
    "Finding",
    "NearCacheInfo",
    "RedisGroupAdapter",
    "RedisPermissionAdapter",
    "SourceUnavailable",
    "TooFewReplicas",
    "adapters_from_settings",
    "copy_sections",
    "make_metadata_provider",
]
