"""Errors that are the user's to mend: one clear line instead of a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something outside the program is wrong: a path, a field, a file.

    The message is one line that names the file or field and the way out. Every
    command prints it as `error: ...` and exits with code 2.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest known name, else the list of known names."""
    known = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(known)})" if known else ""
