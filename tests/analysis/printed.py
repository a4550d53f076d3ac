"""The numbers of Tables 3, 5 and 6 of Wahlig et al. 2023, in the form of our statistics."""

from __future__ import annotations

import csv
from pathlib import Path

from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect, Pair
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.tables import PerformanceTable, performance_tables
from storage_schemas.metrics import METRICS

# Each printed p value with the means and standard errors that it compares.
PRINTED = list(csv.DictReader(Path(__file__).with_name("printed_p_values.csv").open()))
OTHER = {
    "default": Condition(arm="default", source="mixed", training_size=0),
    "grader2": Condition(arm="rater", source=None, training_size=0),
}
SOURCE = {"Default": "mixed", "FT": "mixed", "DN": None, "Grader 2": None}
ARM = {"Default": "default", "FT": "fine-tuned", "DN": "de-novo", "Grader 2": "rater"}


def printed_table(name: str) -> PerformanceTable:
    """The PerformanceTable whose means and p values are those in print."""
    lines = [line for line in PRINTED if line["table"] == name]
    means, effects = {}, []
    for line in lines:
        model = Condition(arm=ARM[line["model"]], source=SOURCE[line["model"]], training_size=int(line["studies"] or 0))
        other = OTHER.get(line["against"], Condition(arm="de-novo", source=None, training_size=model.training_size))
        means[model, line["metric"]] = float(line["mean"]), float(line["se"])
        means[other, line["metric"]] = float(line["other_mean"]), float(line["other_se"])
        effects.append(
            Effect(
                metric=line["metric"],
                test="paired-t" if line["against"] == "method" else "unpaired-t",
                stratum=Stratum(),
                pair=Pair(model, other),
                n=10,
                n_other=None,
                undefined=0,
                difference=None,
                statistic=None,
                p=0.0001 if line["less_than"] == "1" else float(line["p"]),
                family=int(line["m"]),
                significant=line["starred"] == "1",
            )
        )
    models = dict.fromkeys(model for model, _ in means)
    summaries = [
        Summary(model, metric, *means.get((model, metric), (None, None)), 60, 0)
        for model in models
        for metric in METRICS
    ]
    (table,) = performance_tables(summaries, effects, "fold-averaged")
    return table


def paired(fine_tuned: Condition, de_novo: Condition, p: float, *, significant: bool) -> Effect:
    """The paired test of sensitivity of two hand-written models."""
    return Effect(
        metric="sensitivity",
        test="paired-t",
        stratum=Stratum(),
        pair=Pair(fine_tuned, de_novo),
        n=8,
        n_other=None,
        undefined=0,
        difference=0.1,
        statistic=None,
        p=p,
        family=2,
        significant=significant,
    )
