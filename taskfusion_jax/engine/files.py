"""Files that are whole or not there."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it; nothing stays of what could
    not be written, and a link under the temporary name is not followed."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    partial = path.with_name(f".{digest[:16]}.partial")  # short, as names have a longest length
    try:
        partial.unlink(missing_ok=True)  # of a process that was killed
        with open(partial, "xb") as file:
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
