"""Passwords, kept as salted scrypt hashes in a file for repoze.who's htpasswd plugin.

A hash is text in the form ``$scrypt$ln=14,r=8,p=5$SALT$KEY`` (the PHC string format): the base-2
logarithm of the cost, the block size, the parallelization, then salt and derived key in base64.
"""

import hashlib
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path

# The least that OWASP's Password Storage Cheat Sheet advises for scrypt at 16 MiB a check.
_LOG2_COST = 14
_BLOCK_SIZE = 8
_PARALLELIZATION = 5
_SALT_LENGTH = 16

_HASH = re.compile(
    r"\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)", re.ASCII
)


def hash_password(password: str) -> str:
    """Return the hash of *password* under a new random salt."""
    salt = secrets.token_bytes(_SALT_LENGTH)
    key = _derive(password, salt, _LOG2_COST, _BLOCK_SIZE, _PARALLELIZATION)
    parameters = f"ln={_LOG2_COST},r={_BLOCK_SIZE},p={_PARALLELIZATION}"
    return f"$scrypt${parameters}${b64encode(salt).decode()}${b64encode(key).decode()}"


def check_password(password: str, hashed: str) -> bool:
    """Return whether *hashed* is the hash of *password*: the htpasswd plugin's check function.

    The plugin passes a text that is no hash for a user it does not know. That is never right, and
    takes as long as a wrong password, so that the answer's time tells nobody who has an account.
    """
    parts = _HASH.fullmatch(hashed)
    if parts is None:
        hash_password(password)
        return False
    log2_cost, block_size, parallelization = map(int, parts.group(1, 2, 3))
    salt, expected = map(b64decode, parts.group(4, 5))
    key = _derive(password, salt, log2_cost, block_size, parallelization)
    return secrets.compare_digest(key, expected)


def write_htpasswd(path: Path, passwords: Mapping[str, str]) -> None:
    """Write a file of ``user:hash`` lines to *path*, readable by its owner alone."""
    path.touch(mode=0o600)
    lines = (f"{user}:{hash_password(password)}\n" for user, password in passwords.items())
    path.write_text("".join(lines), encoding="ascii")


def _derive(
    password: str, salt: bytes, log2_cost: int, block_size: int, parallelization: int
) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << log2_cost, r=block_size, p=parallelization
    )
