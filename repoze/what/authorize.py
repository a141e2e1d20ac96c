"""The deprecated entry: `check_authorization` as a function, and the predicates for old imports."""

import typing
import warnings

from repoze.what import predicates
from repoze.what.predicates import *  # noqa: F403

__all__ = ["check_authorization"]
__all__ += predicates.__all__


def check_authorization(
    predicate: predicates.Predicate | None, environ: dict[str, typing.Any]
) -> None:
    """Return if the predicate is met in this request, or if there is none.

    :param predicate: what must be met; None restricts nothing.
    :param environ: the WSGI environment of the request.
    :raises NotAuthorizedError: if it is not met.

    .. deprecated:: 1.0.4
        `repoze.what.predicates.Predicate.check_authorization` does the same.
    """
    warnings.warn(
        "repoze.what.authorize.check_authorization(predicate, environ) is deprecated: "
        "use predicate.check_authorization(environ)",
        DeprecationWarning,
        stacklevel=2,
    )
    if predicate is not None:
        predicate.check_authorization(environ)
