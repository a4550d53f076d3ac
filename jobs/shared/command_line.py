"""What every command shares: where store and cache are, and how an error reaches a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from lesionlab.errors import LesionlabError
from lesionlab.store.objects import Store, open_store
from storage_schemas.base import Slug

console = Console(highlight=False, markup=False, soft_wrap=True)
"""For results: standard output. Text is shown as it is: a title may hold brackets."""
notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""For progress and errors: standard error."""

_SLUG = TypeAdapter(Slug)

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="LESIONLAB_STORE",
        metavar="URI",
        help="Where volumes, models and results lie: file:///path or s3://bucket/prefix "
        "(endpoint and credentials as for any AWS tool).",
        default_factory=lambda: f"file://{Path.cwd() / '.lesionlab' / 'store'}",
        show_default="file://./.lesionlab/store",
    ),
]
CacheOption = Annotated[
    Path,
    typer.Option(
        "--cache",
        envvar="LESIONLAB_CACHE",
        metavar="DIR",
        help="Node-local folder for the volumes that training reads; may be deleted at any time.",
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lesionlab",
        show_default="~/.cache/lesionlab",
    ),
]
PlainOption = Annotated[
    bool,
    typer.Option("--plain", help="One process, one device, no Ray: for a bare GPU machine, a notebook, a debugger."),
]
ReplanOption = Annotated[
    bool,
    typer.Option(
        "--replan", help="Plan anew where this version gives other results than the one that planned the experiment."
    ),
]
SpecArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="An experiment file (YAML), or the name of a built-in one, such as demo; "
        "jobs/specs/example.yaml explains every key.",
    ),
]


def plain_name(value: str | None) -> str | None:
    """For options that become part of an object key. Raises BadParameter where the value is no plain name."""
    try:
        return None if value is None else _SLUG.validate_python(value)
    except ValidationError as error:
        raise typer.BadParameter(f"wanted lower-case letters, digits, '.', '_' or '-'; found {value!r}") from error


def connect(uri: str) -> Store:
    """The store behind a URI, once it was seen to answer. Raises StoreError with what to do where it does not."""
    store = open_store(uri)
    store.check()
    return store


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same command; an error that a person can act on becomes one message and exit code 1, a bug shows whole."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except LesionlabError as error:
            for fault in error.args:
                notes.print(f"error: {fault}", style="bold red", markup=False)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            notes.print("stopped; what was finished is kept: run the same command again to go on", markup=False)
            raise typer.Exit(130) from interrupt

    return run


def run_alone(function: Callable[..., Any]) -> None:
    """Entry of `python -m jobs.<stage>`: the same command as `lesionlab <stage>`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command(function))
    sys.argv[0] = f"python -m jobs.{Path(sys.argv[0]).stem}"
    app()
