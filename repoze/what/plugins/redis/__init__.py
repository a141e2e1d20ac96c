"""Groups and permissions of repoze.what, kept in Redis."""

from repoze.what.adapters import SourceUnavailable

from .adapters import RedisGroupAdapter, RedisPermissionAdapter

__all__ = ["RedisGroupAdapter", "RedisPermissionAdapter", "SourceUnavailable"]
