"""The Lua scripts that are shipped with the layouts, one operation each, in `lua/`."""

from hashlib import sha1
from importlib.resources import files


class Script:
    """A Lua script: the text of the *parts*, which are named without their `.lua`, in a row.

    `text` is what `EVAL` takes and `digest` is what `EVALSHA` takes, the SHA-1 of the text in hex.
    """

    def __init__(self, *parts: str) -> None:
        folder = files(__package__) / "lua"
        self.text = b"".join((folder / f"{part}.lua").read_bytes() for part in parts)
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()
