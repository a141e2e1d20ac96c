"""A small newspaper's site, protected by groups and permissions that lie in Redis.

``python -m repoze.what.plugins.redis.demo`` runs it. It needs the distribution's ``demo`` extra;
nothing else of the distribution imports it.
"""


class DemoError(Exception):
    """The demo cannot go on; the text says why, to the person who started it."""
