"""Code that authorizes without any framework: a check of API keys, and a worker of a queue."""

import hashlib
import logging
import time
from dataclasses import dataclass

from repoze.what.adapters import SourceError
from repoze.what.predicates import NotAuthorizedError

log = logging.getLogger(__name__)


class Authorization:
    def __init__(self, groups, permissions):
        self.groups = groups
        self.permissions = permissions

    def permissions_of(self, user_id):
        """Return what the user is permitted: one question to Redis, however many the groups."""
        credentials = {"repoze.what.userid": user_id}
        _, permissions = self.groups.find_with_permissions(credentials, self.permissions)
        return permissions


# An API


def hash_key(key):
    # Keys are long and random, so a fast hash will do.
    return hashlib.sha256(key.encode()).hexdigest()


# In your application, a table. The keys themselves are kept nowhere.
OWNERS = {
    hash_key("rosa's long random key"): "rosa",
    hash_key("ben's long random key"): "ben",
}


def check_key(key, permission, authorization):
    """Return the user id of the key's owner, who has the permission.

    :raises NotAuthorizedError: where nobody has that key, or its owner not the permission.
    :raises SourceError: where that cannot be known: answer 503.
    """
    owner = OWNERS.get(hash_key(key))
    if owner is None or permission not in authorization.permissions_of(owner):
        raise NotAuthorizedError(f"This key is not for {permission}")
    return owner


# A worker


@dataclass(frozen=True)
class Job:
    user_id: str
    permission: str
    text: str


def work(jobs, do, refuse, authorization, *, pause=10):
    """Do the jobs of a queue, up to a None in it.

    The user is looked up when the job's turn comes: what was revoked while it waited is refused.
    While Redis cannot be asked it waits on, and is neither done nor refused.
    """
    for job in iter(jobs.get, None):
        while True:
            try:
                permitted = authorization.permissions_of(job.user_id)
                break
            except SourceError as error:
                log.warning("Permissions cannot be looked up: %s", error)
                time.sleep(pause)
        if job.permission in permitted:
            do(job)
        else:
            refuse(job)
