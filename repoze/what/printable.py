"""Text that somebody else wrote, for a terminal or a line of a log."""


def printable(text: str) -> str:
    r"""Return *text* with escapes, such as ``\x1b``, in place of what is no printable character."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
