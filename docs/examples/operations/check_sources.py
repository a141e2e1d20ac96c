"""For cron: looks through both sources, and tells what is wrong with them."""

import sys

from repoze.what.plugins.redis import adapters_from_settings


def check(settings):
    """Return what was found in both sources, a line each."""
    adapters = adapters_from_settings(settings)
    return "\n".join(str(finding) for adapter in adapters for finding in adapter.check())


if __name__ == "__main__":
    # The URL is that of REPOZE_WHAT_REDIS_URL. With text, the exit status is 1.
    sys.exit(check({"redis.namespace": "newspaper"}) or 0)
