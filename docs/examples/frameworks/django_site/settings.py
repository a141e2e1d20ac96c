"""The settings of a Django project, those that do with authorization at the end."""

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

SECRET_KEY = "a long random text"
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "django_site.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "welcome"
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django_site",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        # It lets templates ask for {{ perms }}.
        "OPTIONS": {"context_processors": ["django.contrib.auth.context_processors.auth"]},
    }
]

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
