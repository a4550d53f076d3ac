"""The `lesionlab` command: the jobs, for people, in the order of the flow."""

from __future__ import annotations

import typer

from jobs.analyse import analyse
from jobs.demo import demo
from jobs.door import command
from jobs.evaluate import evaluate
from jobs.models import models
from jobs.plan import plan
from jobs.predict import predict
from jobs.preprocess import preprocess
from jobs.pretrain import pretrain
from jobs.run import run
from jobs.simulate import simulate
from jobs.sweep import sweep
from jobs.verify import verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How many labelled MS studies does a site need, and does starting from a model of another pathology help?\n\n"
    "The stages, in the order of the flow: simulate (or bring your own data), verify, preprocess, plan, pretrain, "
    "sweep, analyse. `run` does them all; `demo` does them on simulated patients.",
)

for panel, functions in {
    "Stages, in order": (simulate, verify, preprocess, plan, pretrain, sweep, analyse),
    "All stages": (run, demo),
    "Models": (models, evaluate, predict),
}.items():
    for function in functions:
        app.command(rich_help_panel=panel)(command(function))


def main() -> None:
    """Entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
