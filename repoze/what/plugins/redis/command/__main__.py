"""The same command line as ``python -m repoze.what.plugins.redis.command``."""

from . import main

main()
