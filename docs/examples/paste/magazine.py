"""A magazine whose readers see its pages, and whose editors publish them."""

import hashlib
import hmac
import secrets

from webob import Response
from webob.dec import wsgify
from webob.exc import HTTPForbidden, HTTPUnauthorized

from repoze.what.predicates import NotAuthorizedError, has_permission

MAY_PUBLISH = has_permission("publish")


@wsgify
def magazine(request):
    if request.path_info != "/publish":
        return Response("The magazine.", content_type="text/plain")
    try:
        MAY_PUBLISH.check_authorization(request.environ)
    except NotAuthorizedError as refusal:
        # Who has not logged in is asked to, and who has is refused.
        if "repoze.who.identity" not in request.environ:
            return HTTPUnauthorized(str(refusal))
        return HTTPForbidden(str(refusal))
    # No cache in front of the site may show it to others.
    return Response("Published.", content_type="text/plain", cache_control="private")


def make_app(global_conf, **settings):
    """What Paste Deploy calls for the application's section."""
    return magazine


def hash_password(password, salt=None):
    salt = salt or secrets.token_hex(16)
    key = hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=5)
    return f"{salt}${key.hex()}"


def check_password(password, hashed):
    """What repoze.who's htpasswd plugin calls with a line of its file."""
    # For an unknown user there is no salt in it; that takes as long, and is never right.
    salt = hashed.partition("$")[0]
    return hmac.compare_digest(hash_password(password, salt), hashed)
