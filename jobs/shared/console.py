"""The two consoles of every command: results on standard output, progress and errors on standard error."""

from __future__ import annotations

from rich.console import Console

console = Console(highlight=False, markup=False, soft_wrap=True)
"""Results. Text is printed literally, since a title may contain brackets."""
notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Progress and errors."""
