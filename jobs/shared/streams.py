"""Keep standard output and standard error usable: any encoding of the terminal, a full disk, a closed pipe."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar

T = TypeVar("T")

AS_ASCII: Mapping[str, str] = {
    **{"–": "-", "−": "-", "×": "x", "±": "+-", "≥": ">=", "≤": "<=", "²": "2", "³": "3", "µ": "u", "·": "."},
    **{"→": "->", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"'},
}
"""Replacements for the signs that the commands print, where the terminal has none of them."""

_HANDLER = "lesionlab.as-ascii"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(AS_ASCII.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _replaced)


class Output(io.TextIOWrapper):
    """A text stream that writes signs missing from its encoding as similar ASCII text or `?`, and remembers errors."""

    fault: OSError | None = None
    """The error of the last write, which a caller could not tell from an error of another file."""

    def __init__(
        self, binary: BinaryIO, encoding: str, line_buffering: bool = False, write_through: bool = False
    ) -> None:
        super().__init__(binary, encoding, _HANDLER, line_buffering=line_buffering, write_through=write_through)

    def write(self, text: str) -> int:
        """Write and remember an error."""
        return self._attempt(lambda: super(Output, self).write(text))

    def flush(self) -> None:
        """Flush and remember an error."""
        self._attempt(super().flush)

    def _attempt(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            self.fault = error
            raise


def run_to_the_end(command: Callable[[], object]) -> None:
    """Run a command; if its standard output cannot be written, say so in one line and exit with code 1."""
    out, sys.stderr = _output(sys.stdout), _output(sys.stderr)
    sys.stdout = out
    try:
        command()
        out.flush()
    except OSError as error:
        if error is not out.fault:
            if _is_nowhere():
                print("error: the current folder was removed; change to another folder", file=sys.stderr)
                raise SystemExit(1) from None
            raise
        # The stream discards what it still holds, so that Python can exit without a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        print(f"error: standard output: cannot be written ({error.strerror}); write to another place", file=sys.stderr)
        raise SystemExit(1) from None


def _is_nowhere() -> bool:
    """Whether the current folder, which relative paths start from, does not exist."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _output(stream: TextIO | None) -> Output:
    if not isinstance(stream, io.TextIOWrapper):  # closed by the caller, as in `lesionlab plan demo >&-`
        return Output(Path(os.devnull).open("wb"), "utf-8")
    return Output(stream.buffer, stream.encoding, stream.line_buffering, stream.write_through)
