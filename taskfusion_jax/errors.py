"""Errors that are the user's to mend: one clear line instead of a traceback."""

import difflib
import errno
from collections.abc import Iterable

OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Of an OSError after which nothing more can be written."""
LONGEST = 20_000
"""Characters of a message; of a longer one the middle is left out."""


class UserError(Exception):
    """Something outside the program is wrong: a path, a field, a file.

    The message is one line that names the file or field and the way out, whatever the names in it
    are made of; see `one_line`. Every command prints it as `error: ...` and exits with code 2.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Text as one line that every terminal shows as it is.

    Names of files may hold anything: what steers a terminal, turns the direction of writing or is
    no Unicode is written as `\\x1b`; line breaks become spaces.
    """
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest known name, else the list of known names."""
    known = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(known)})" if known else ""
