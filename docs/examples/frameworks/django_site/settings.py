"""The settings of a Django project, those that do with authorization at the end."""

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

SECRET_KEY = "a long random text"
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "django_site.urls"
LOGIN_URL = "/login"
TIME_ZONE = "UTC"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_site.authorization.AuthorizationMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "django_site.authorization.RedisBackend",
]

GROUPS = RedisGroupAdapter.from_url("redis://localhost:6379")
PERMISSIONS = RedisPermissionAdapter.from_url("redis://localhost:6379")
