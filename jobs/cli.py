"""The `lesionlab` command; lists its commands in the order of the workflow.

A command is imported only when it is called: `lesionlab score` does not wait for torch or Ray, the help for no command.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from jobs.shared.console import console
from jobs.shared.streams import run_to_the_end

PANELS = {
    "Stages, in order": (
        "simulate",
        "verify",
        "preprocess",
        "plan",
        "pretrain",
        "sweep",
        "status",
        "runs",
        "analyse",
        "rescore",
        "export",
    ),
    "All stages": ("run", "demo"),
    "On a cluster": ("submit", "jobs", "logs", "cancel", "fetch", "cluster"),
    "Cohorts": ("cohort",),
    "Several sites": ("declare", "policy", "contribute", "withdraw", "audit", "usage", "storage"),
    "Models": (
        "register",
        "import",
        "models",
        "benchmark",
        "rule",
        "promote",
        "rollback",
        "retrain",
        "lineage",
        "evaluate",
        "self-grade",
        "predict",
    ),
    "Masks": ("score", "compare"),
    "Upkeep of a store": ("fsck", "gc", "copy"),
}
"""Help panels and their commands. Each command is a module of this package with a function of the same name
(`module_of`)."""

PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


class Commands(TyperGroup):
    """The commands by name."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option --help, off by default: typer has pydantic check any default but a bool, which takes 0.15 s."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the panels."""
        return list(PANEL_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Outline one command; for an unknown name outline all, so that a similar name can be suggested."""
        for name in (cmd_name,) if cmd_name in PANEL_OF else PANEL_OF:
            if name not in self.commands:
                self.add_command(TyperCommand(name, help=summary(name), rich_help_panel=PANEL_OF[name]))
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is called."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and _loaded(name), rest


def module_of(name: str) -> str:
    """The module of a command, and its function: `import` is a keyword of Python, and no name has a hyphen."""
    plain = name.replace("-", "_")
    return f"{plain}_" if iskeyword(plain) else plain


def summary(name: str) -> str:
    """First paragraph of a command's help, read from its source: importing all commands takes seconds."""
    own = module_of(name)
    source = Path(__file__).with_name(f"{own}.py").read_text(encoding="utf-8")
    documented = re.search(rf'^def {own}\(.*?\) -> \w+:\n    """(.*?)"""', source, re.DOTALL | re.MULTILINE)
    return _paragraphs(documented[1])[0] if documented else ""


def _paragraphs(docstring: str) -> list[str]:
    """Each on one line, for the terminal to wrap: typer keeps the line breaks of the source."""
    return [" ".join(paragraph.split("\n")) for paragraph in inspect.cleandoc(docstring).split("\n\n")]


def _loaded(name: str) -> Any:
    # Only here: it loads every schema, for which the help and a typo need not wait.
    from jobs.shared.entry_points import with_error_messages

    alone = typer.Typer(add_completion=False)
    own = module_of(name)
    function = getattr(import_module(f"jobs.{own}"), own)
    alone.command(help="\n\n".join(_paragraphs(function.__doc__)))(with_error_messages(function))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How many labelled MS studies does a site need, and does starting from a model of another pathology help?\n\n"
    "Workflow: simulate (or use your own data), verify, preprocess, plan, pretrain, sweep, analyse. `run` does all of "
    "these, `demo` does them on simulated patients. `score` compares any two masks, `compare` anybody's models.\n\n"
    "Exit codes: 0 done, 1 failed, 2 called wrongly, 3 done and the answer is no, 130 or 143 stopped.",
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # only here: it loads the parser of e-mails

        console.print(f"lesionlab {version('lesionlab')}")
        raise typer.Exit()


@app.callback()
def _all_commands(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Typer makes a command group only if something is registered; the help text is given above."""


def main() -> None:
    """Entry point of the installed `lesionlab` command."""
    run_to_the_end(app)


if __name__ == "__main__":
    main()
