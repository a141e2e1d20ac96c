"""For applications that Paste Deploy puts together, or that repoze.who's own filter protects."""

import logging
import os
import re
import sys
from collections.abc import Mapping
from configparser import InterpolationError, ParsingError
from pathlib import Path
from typing import Any, TextIO, cast

from repoze.who.config import WhoConfig

from repoze.what.middleware import AuthorizationMetadata, setup_auth

from .pair import adapters_from_settings
from .settings.options import refuse_unknown

_PREFIX = "redis."
_OPTIONS_OF_SETUP_AUTH = ("skip_authentication", "remote_user", "trusted_proxies", "on_unavailable")
_OPTIONS = ("config_file", "log_file", "log_level", "remote_user_key", *_OPTIONS_OF_SETUP_AUTH)
# repoze.who's.
_LOG_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def make_filter_app(app: Any, global_conf: Mapping[str, str], **local_conf: str) -> Any:
    """Return *app* behind `~repoze.what.middleware.setup_auth`, with the adapters of settings.

    It is Paste Deploy's filter ``egg:repoze.what.plugins.redis``.

    :param app: the WSGI application.
    :param global_conf: what ``[DEFAULT]`` says. Options of the filter count there too, for Paste
        Deploy drops what a section says where ``[DEFAULT]`` has the same name.
    :param local_conf: what the section of the filter says.

        - ``config_file``: the configuration file of repoze.who. It can be left out if there is
          ``remote_user``.
        - ``redis.url`` and the other settings of `.adapters_from_settings`.
        - ``skip_authentication``, ``remote_user``, ``trusted_proxies`` and ``on_unavailable``, of
          `~repoze.what.middleware.setup_auth`.
        - ``remote_user_key``, which counts where *config_file* says something else.
        - ``log_file``: where repoze.who's log is appended, ``stdout`` for standard output; left
          out, it goes to the logger ``repoze.who``.
        - ``log_level``: ``debug``, ``info`` (where it is left out), ``warning`` or ``error``.
          ``debug`` logs passwords.
    :raises ValueError: where ``config_file`` is missing, or an option or what is in that file is
        not known or makes no sense.
    :raises OSError: where a file cannot be opened.
    :raises SourceError: as `.adapters_from_settings` does.
    """
    options = {
        name: value
        for name, value in global_conf.items()
        if name in _OPTIONS or name.startswith(_PREFIX)
    }
    options.update(local_conf)
    settings = {name: options.pop(name) for name in list(options) if name.startswith(_PREFIX)}
    refuse_unknown(
        options,
        (*_OPTIONS, f"{_PREFIX}url and the other settings that begin with {_PREFIX}"),
        "The filter has no option",
    )
    for name, value in (options | settings).items():
        # An error would show what was meant for another option, which may be a password.
        if "\n" in value:
            raise ValueError(
                f"{name} has several lines, for an indented line belongs to the option before it. "
                "Begin each option at the beginning of its line."
            )
    if "config_file" not in options and "remote_user" not in options:
        raise ValueError(
            "config_file is missing: it is the configuration file of repoze.who, "
            "as in config_file = %(here)s/who.ini."
        )
    who = _read_who_config(options.get("config_file"), global_conf["here"])
    adapters = adapters_from_settings(settings, _PREFIX)
    log_level = _log_level(options.get("log_level", "info"))
    return setup_auth(
        app,
        {"redis": adapters.groups},
        {"redis": adapters.permissions},
        identifiers=who.identifiers,
        authenticators=who.authenticators,
        challengers=who.challengers,
        mdproviders=who.mdproviders,
        request_classifier=who.request_classifier,
        challenge_decider=who.challenge_decider,
        remote_user_key=options.get("remote_user_key", who.remote_user_key),
        log_level=log_level,
        log_stream=_log(options.get("log_file"), log_level),
        **{name: options[name] for name in _OPTIONS_OF_SETUP_AUTH if name in options},
    )


def make_metadata_provider(**settings: str) -> AuthorizationMetadata:
    """Return the metadata provider that gives users their groups and permissions.

    It is for the configuration file of repoze.who, whose section names it, as in
    ``use = repoze.what.plugins.redis:make_metadata_provider``.

    :param settings: those of `.adapters_from_settings`, without a prefix: ``url``, ``namespace``.
    :raises ValueError: as `.adapters_from_settings` does.
    :raises SourceError: likewise.
    """
    adapters = adapters_from_settings(settings, prefix="")
    return AuthorizationMetadata({"redis": adapters.groups}, {"redis": adapters.permissions})


def _read_who_config(file: str | None, here: str) -> Any:
    config = WhoConfig(here)
    if file is None:
        return config
    with _open("config_file", file, "r") as opened:
        try:
            config.parse(opened)
        except InterpolationError as error:
            # Its text quotes the value, which may be a password.
            raise ValueError(
                f"{file}: in [{error.section}], a % in {error.option} is written %%, "
                "or begins the name of another option, as in %(here)s."
            ) from None
        except ParsingError as error:
            # Its text quotes the line, which may be one that sets a password.
            line = getattr(error, "lineno", None) or error.errors[0][0]
            raise ValueError(
                f"{file}: line {line} is neither a section, as in [identifiers], "
                "nor an option of one, as in plugins = cookie."
            ) from None
        except (ImportError, KeyError) as error:
            raise ValueError(f"{file}: {type(error).__name__}: {error}") from error
        except Exception as error:  # noqa: BLE001 - plugins raise what they like
            # Its text may quote a value, or a line that lacks its =.
            option = re.search(r"unexpected keyword argument '([a-z_]+)'", str(error))
            reason = f"it takes no {option[1]}" if option else type(error).__name__
            raise ValueError(
                f"{file}: a plugin cannot be made of the options in its section: {reason}"
            ) from None
    return config


def _log_level(name: str) -> int:
    level = _LOG_LEVELS.get(name.lower())
    if level is None:
        raise ValueError(f"log_level is one of {', '.join(_LOG_LEVELS)}.")
    return level


def _log(file: str | None, level: int) -> TextIO | logging.Logger | None:
    if file is None:
        if os.environ.get("AUTH_LOG") == "1":
            # setup_auth knows where to, then.
            return None
        logger = logging.getLogger("repoze.who")
        logger.setLevel(level)
        return logger
    if file.lower() == "stdout":
        return sys.stdout
    # repoze.who's own filter opens it for bytes, which then fails to take text.
    return _open("log_file", file, "a")


def _open(option: str, file: str, mode: str) -> TextIO:
    try:
        # An editor may have begun the file with a byte order mark.
        encoding = "utf-8-sig" if mode == "r" else "utf-8"
        return cast(TextIO, Path(file).open(mode, encoding=encoding))
    except OSError as error:
        reason = f"{option} cannot be opened: {error.strerror}"
        raise type(error)(error.errno, reason, file) from None
