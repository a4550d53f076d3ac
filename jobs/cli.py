"""The `lesionlab` command; lists its commands in the order of the workflow.

A command is imported only when it is called, so `lesionlab score` does not wait for torch or Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from jobs.shared.entry_points import with_error_messages
from jobs.shared.streams import run_to_the_end

PANELS = {
    "Stages, in order": ("simulate", "verify", "preprocess", "plan", "pretrain", "sweep", "runs", "analyse", "rescore"),
    "All stages": ("run", "demo"),
    "Cohorts": ("cohort",),
    "Models": ("models", "evaluate", "predict"),
    "Masks": ("score",),
}
"""Help panels and their commands. Each command is a module of this package with a function of the same name."""

PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


class Commands(TyperGroup):
    """The commands by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the panels."""
        return list(PANEL_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load one command; for an unknown name load all, so that a similar name can be suggested."""
        for name in (cmd_name,) if cmd_name in PANEL_OF else PANEL_OF:
            if name not in self.commands:
                self.add_command(_loaded(name), name)
        return super().get_command(ctx, cmd_name)


def _loaded(name: str) -> Any:
    alone = typer.Typer(add_completion=False)
    function = getattr(import_module(f"jobs.{name}"), name)
    alone.command(rich_help_panel=PANEL_OF[name])(with_error_messages(function))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How many labelled MS studies does a site need, and does starting from a model of another pathology help?\n\n"
    "Workflow: simulate (or use your own data), verify, preprocess, plan, pretrain, sweep, analyse. `run` does all of "
    "these, `demo` does them on simulated patients. `score` compares any two masks.",
)


@app.callback()
def _all_commands() -> None:
    """Typer makes a command group only if something is registered; the help text is given above."""


def main() -> None:
    """Entry point of the installed `lesionlab` command."""
    run_to_the_end(app)


if __name__ == "__main__":
    main()
