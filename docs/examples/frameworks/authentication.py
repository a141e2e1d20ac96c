"""Who may log in to the examples; an application of yours has its own table of users."""

import hashlib
import hmac
import secrets

from repoze.who.interfaces import IAuthenticator
from repoze.who.plugins.basicauth import BasicAuthPlugin
from zope.interface import implementer

SALT = secrets.token_bytes(16)


def hash_password(password):
    return hashlib.scrypt(password.encode(), salt=SALT, n=2**14, r=8, p=5)


PASSWORDS = {"rosa": hash_password("headline"), "ben": hash_password("notebook")}


def is_password_of(user, password):
    return hmac.compare_digest(hash_password(password), PASSWORDS.get(user, b""))


@implementer(IAuthenticator)
class Passwords:
    def authenticate(self, environ, identity):
        if "login" not in identity:
            # It is of another identifier: a cookie's, for example.
            return None
        user = identity["login"]
        return user if is_password_of(user, identity["password"]) else None


basic = BasicAuthPlugin("Newspaper")

# What `setup_auth` is told of it.
BASIC_AUTHENTICATION = {
    "identifiers": [("basic", basic)],
    "authenticators": [("passwords", Passwords())],
    "challengers": [("basic", basic)],
}
