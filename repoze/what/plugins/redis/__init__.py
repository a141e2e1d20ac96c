"""Groups and permissions of repoze.what, kept in Redis."""

from repoze.what.adapters import SourceUnavailable

from .adapters import RedisGroupAdapter, RedisPermissionAdapter
from .copying import CopyError, copy_sections
from .findings import Finding
from .replication import TooFewReplicas

__all__ = [
    "CopyError",
    "Finding",
    "RedisGroupAdapter",
    "RedisPermissionAdapter",
    "SourceUnavailable",
    "TooFewReplicas",
    "copy_sections",
]
