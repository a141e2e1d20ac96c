"""Groups and permissions of repoze.what, kept in Redis."""

from repoze.what.adapters import SourceUnavailable

from .adapters import RedisGroupAdapter, RedisPermissionAdapter
from .copying import CopyError, copy_sections
from .findings import Finding
from .near_cache import NearCacheInfo
from .paste import make_metadata_provider
from .replication import TooFewReplicas
from .settings import Adapters, adapters_from_settings

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
