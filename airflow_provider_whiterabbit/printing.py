"""What the commands of this provider print, with texts from outside in it, and how they fail."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError


def print_line(text: str, error: bool = False) -> None:
    """Print a line; characters that could control a terminal are printed as escapes."""
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    stream = sys.stderr if error else sys.stdout
    encoding = stream.encoding or "utf-8"
    print(printable.encode(encoding, "backslashreplace").decode(encoding), file=stream)


@contextlib.contextmanager
def printing_errors() -> Iterator[None]:
    """Print an error of this provider in place of its traceback.

    :raises SystemExit: with status 1, after an error.
    """
    try:
        yield
    except WhiteRabbitError as error:
        for line in str(error).splitlines():
            print_line(line, error=True)
        raise SystemExit(1) from None
