"""The project as a WSGI application, behind the middleware."""

import os

from authentication import BASIC_AUTHENTICATION
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from repoze.what.middleware import setup_auth

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_site.settings")

application = setup_auth(
    get_wsgi_application(),
    {"redis": settings.GROUPS},
    {"redis": settings.PERMISSIONS},
    on_unavailable="refuse",
    **BASIC_AUTHENTICATION,
)
