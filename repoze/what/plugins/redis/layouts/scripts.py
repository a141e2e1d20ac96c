"""The Lua scripts that are shipped with the layouts, one operation each, in `lua/`."""

from importlib.resources import files

from repoze.what.plugins.redis.connection.exchange import Script


def script(*parts: str) -> Script:
    """Return the script that is made of *parts*, which are named without their `.lua`, in a row."""
    folder = files(__package__) / "lua"
    return Script(b"".join((folder / f"{part}.lua").read_bytes() for part in parts))
