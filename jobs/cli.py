"""The `lesionlab` command: the jobs, for people, in the order of the flow.

A job is imported when it is asked for: `lesionlab score` waits neither for torch nor for Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from jobs.shared.command_line import command

PANELS = {
    "Stages, in order": ("simulate", "verify", "preprocess", "plan", "pretrain", "sweep", "runs", "analyse", "rescore"),
    "All stages": ("run", "demo"),
    "Cohorts": ("cohort",),
    "Models": ("models", "evaluate", "predict"),
    "Masks": ("score",),
}
"""Each is a module of this package, with a function of the same name."""

PANEL_OF = {job: panel for panel, jobs in PANELS.items() for job in jobs}


class Jobs(TyperGroup):
    """The jobs by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All of them, in the order of the panels."""
        return list(PANEL_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The one job; where there is none of this name, all are looked up, so that a similar name can be offered."""
        for job in (cmd_name,) if cmd_name in PANEL_OF else PANEL_OF:
            if job not in self.commands:
                self.add_command(_loaded(job), job)
        return super().get_command(ctx, cmd_name)


def _loaded(job: str) -> Any:
    alone = typer.Typer(add_completion=False)
    function = getattr(import_module(f"jobs.{job}"), job)
    alone.command(rich_help_panel=PANEL_OF[job])(command(function))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=Jobs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How many labelled MS studies does a site need, and does starting from a model of another pathology help?\n\n"
    "The stages, in the order of the flow: simulate (or bring your own data), verify, preprocess, plan, pretrain, "
    "sweep, analyse. `run` does them all; `demo` does them on simulated patients. `score` compares any two masks.",
)


@app.callback()
def _all_jobs() -> None:
    """Typer makes a group of jobs only where something is registered; its help is the one above."""


def main() -> None:
    """Entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
