"""The printed numbers give the printed tables, cell by cell."""

from __future__ import annotations

import pytest

from lesionlab.analysis.sheets.paper_tables import number_in_paper, paper_sheets, performance_sheet, transfer_sheet
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, conditions
from lesionlab.analysis.statistics.summary import Summary, summarise
from lesionlab.analysis.statistics.tables import performance_tables
from lesionlab.analysis.words.models import short_name_among
from lesionlab.analysis.words.tables import PAPER_METRICS, performance_title, source_name
from storage_schemas.experiments import Source, TrainedIn
from storage_schemas.metrics import METRICS
from storage_schemas.tasks import TASKS
from tests.analysis.printed import paired, printed_table


def test_table_6_comes_out_as_it_was_printed():
    sheet = performance_sheet(printed_table("table6"), PAPER_METRICS, "")
    assert [column.name for column in sheet.columns] == [
        "Model",
        "Method",
        "Lesionwise sensitivity: mean ± SE",
        "Lesionwise sensitivity: p default",
        "Lesionwise sensitivity: p method",
        "Lesionwise PPV: mean ± SE",
        "Lesionwise PPV: p default",
        "Lesionwise PPV: p method",
    ]
    assert sheet.rows == (
        ("Default", "", "0.73 ± 0.09", "", "", "0.39 ± 0.07", "", ""),
        ("10", "FT", "0.68 ± 0.06", "0.649", "0.001*", "0.67 ± 0.04", "0.003*", "<0.001*"),
        ("10", "DN", "0.39 ± 0.05", "0.004*", "", "0.27 ± 0.04", "0.122", ""),
        ("20", "FT", "0.74 ± 0.06", "0.948", "0.001*", "0.69 ± 0.05", "0.003*", "0.001*"),
        ("20", "DN", "0.44 ± 0.09", "0.028", "", "0.37 ± 0.05", "0.767", ""),
        ("30", "FT", "0.72 ± 0.05", "0.881", "0.001*", "0.58 ± 0.03", "0.018", "0.078"),
        ("30", "DN", "0.46 ± 0.06", "0.020", "", "0.45 ± 0.07", "0.564", ""),
    )


def test_table_3_has_the_second_rater_as_a_line_and_as_a_column():
    sheet = performance_sheet(printed_table("table3"), PAPER_METRICS, "")
    assert [column.title for column in sheet.columns[2:6]] == ["mean ± SE", "p default", "p Grader 2", "p method"]
    assert sheet.rows[:4] == (
        ("Default", "", "0.38 ± 0.04", "", "", "", "0.95 ± 0.02", "", "", ""),
        ("Grader 2", "", "0.63 ± 0.06", "0.003*", "", "", "0.74 ± 0.05", "0.001*", "", ""),
        ("10", "FT", "0.55 ± 0.02", "0.001*", "0.260", "0.001*", "0.66 ± 0.02", "<0.001*", "0.143", "<0.001*"),
        ("10", "DN", "0.49 ± 0.02", "0.023", "0.044", "", "0.32 ± 0.02", "<0.001*", "<0.001*", ""),
    )
    assert len(sheet.rows) == 12


def test_table_5_has_no_second_rater():
    sheet = performance_sheet(printed_table("table5"), PAPER_METRICS, "")
    assert len(sheet.rows) == 11
    assert not any("Grader" in column.title for column in sheet.columns)
    assert sheet.rows[1] == ("10", "FT", "0.38 ± 0.05", "0.007", "0.033", "0.54 ± 0.04", "0.005*", "0.002*")


ISBI = {
    ("de-novo", 10): ((0.53, 0.65, 0.13), (0.65, 0.62, 0.34)),
    ("fine-tuned", 10): ((0.60, 0.61, 0.29), (0.66, 0.57, 0.75)),
    ("de-novo", 50): ((0.63, 0.59, 0.46), (0.66, 0.53, 0.64)),
}
"""Of Table 4: Dice, sensitivity, PPV; as they are, and after leave-one-patient-out."""


def test_table_4_lists_all_models_as_they_are_and_then_all_after_fine_tuning():
    sources, summaries = [], []
    for (arm, size), (direct, fine_tuned) in ISBI.items():
        name = f"{arm}-{size}"
        sources.append(
            Source(model=name, trained_in=TrainedIn(experiment="flair", arm=arm, training_size=size, fold=1))
        )
        models = (
            Condition(arm="default", source=name, training_size=0),
            Condition(arm="fine-tuned", source=name, training_size=17),
        )
        for model, means in zip(models, (direct, fine_tuned), strict=True):
            by_metric = zip(("dice", "sensitivity", "ppv"), means, strict=True)
            summaries += [Summary(model, metric, mean, None, 21, 0) for metric, mean in by_metric]
    sheet = transfer_sheet(performance_tables(summaries, [], "fold-averaged"), sources, "")
    assert [column.name for column in sheet.columns[1:]] == [
        "Model",
        "Dice score",
        "Lesionwise sensitivity",
        "Lesionwise PPV",
    ]
    assert [row[1:] for row in sheet.rows] == [
        ("De novo 10", "0.53", "0.65", "0.13"),
        ("Fine-tuned 10", "0.60", "0.61", "0.29"),
        ("De novo 50", "0.63", "0.59", "0.46"),
        ("De novo 10", "0.65", "0.62", "0.34"),
        ("Fine-tuned 10", "0.66", "0.57", "0.75"),
        ("De novo 50", "0.66", "0.53", "0.64"),
    ]
    assert [row[0] for row in sheet.rows] == [sheet.rows[0][0]] * 3 + [sheet.rows[3][0]] * 3


def test_a_source_that_no_study_trained_keeps_its_name():
    assert source_name(Source(model="glioma")) == "glioma"


def test_an_undefined_value_shows_how_many_are_left():
    (table,) = performance_tables(
        [
            Summary(Condition(arm="de-novo", source=None, training_size=10), metric, 0.5, 0.1, 8, 2)
            for metric in METRICS
        ],
        [],
        "fold-averaged",
    )
    assert performance_sheet(table, PAPER_METRICS, "").rows == (
        ("10", "DN", "0.50 ± 0.10 (n = 8)", "0.50 ± 0.10 (n = 8)"),
    )


def test_models_that_differ_in_freezing_or_rate_say_so():
    frozen = Condition(
        arm="fine-tuned", source="glioma", training_size=10, freezing="encoder frozen", learning_rate=1e-5
    )
    free, de_novo = (
        Condition(arm="fine-tuned", source="glioma", training_size=10, learning_rate=1e-4),
        Condition(arm="de-novo", source=None, training_size=10),
    )
    assert short_name_among(frozen, [frozen, free, de_novo]) == "FT, learning rate 1e-05, encoder frozen"
    assert short_name_among(free, [frozen, free, de_novo]) == "FT, learning rate 0.0001, nothing frozen"
    assert short_name_among(frozen, [frozen, de_novo]) == "FT"


@pytest.mark.parametrize(
    ("task", "depth", "main", "number"),
    [
        ("flair-single", 4, 4, "3"),
        ("flair-single", 3, 4, "S1"),
        ("flair-single", 5, 4, "S2"),
        ("flair-single", 3, 3, "3"),
        ("flair-single", 5, 5, "3"),
        ("flair-single", 5, 3, "3"),
        ("flair-new", 3, 4, "5"),
        ("enhancing", 4, 4, "6"),
    ],
)
def test_which_table_of_the_paper_it_is(task, depth, main, number):
    assert number_in_paper(TASKS[task], depth, main) == number


def test_a_task_that_the_paper_lacks_has_no_number(rows, spec):
    own = spec.model_copy(update={"task": spec.task.model_copy(update={"name": "t1", "title": "black holes on T1"})})
    assert number_in_paper(own.task, 4, 4) is None
    effects = compare(rows, rows, "fold-averaged")
    tables = performance_tables(summarise(rows, conditions(rows)), effects, "fold-averaged")
    ((name, sheet),) = paper_sheets(own, tables).items()
    assert name == "table-performance-drawn-glioma"
    assert sheet.title == performance_title(tables[0], "black holes on T1")
    two = own.sources[0].model_copy(update={"model": "other"})
    target = own.target.model_copy(update={"design": "leave-one-patient-out"})
    transfers = paper_sheets(own.model_copy(update={"sources": (*own.sources, two), "target": target}), tables)
    assert [(name, "Table" in sheet.title) for name, sheet in transfers.items()] == [
        ("table-transfer", False),
        ("table-performance-drawn-glioma", False),
    ]


def test_the_only_depth_of_a_study_has_the_main_table(rows, spec):
    shallow = [row.model_copy(update={"depth": 3}) for row in rows]
    alone = spec.model_copy(update={"depths": (3,)})
    effects = compare(shallow, shallow, "fold-averaged")
    tables = performance_tables(summarise(shallow, conditions(shallow)), effects, "fold-averaged")
    (name,) = paper_sheets(alone, tables)
    assert name == "table-3-drawn-glioma"


def test_every_way_of_training_de_novo_has_its_column_and_every_model_its_name():
    """Fine-tuned sensitivity differs from the one de novo, not from the other."""
    fine_tuned = Condition(arm="fine-tuned", source="glioma", training_size=10)
    slow, fast = (Condition(arm="de-novo", source=None, training_size=10, learning_rate=rate) for rate in (1e-4, 1e-3))
    summaries = [Summary(model, metric, 0.5, 0.1, 8, 0) for model in (fine_tuned, slow, fast) for metric in METRICS]
    effects = [
        paired(fine_tuned, slow, 0.001, significant=True),
        paired(fine_tuned, fast, 0.4, significant=False),
    ]
    (table,) = performance_tables(summaries, effects, "fold-averaged")
    sheet = performance_sheet(table, {"sensitivity": "Lesionwise sensitivity"}, "")
    assert [column.title for column in sheet.columns[2:]] == [
        "mean ± SE",
        "p method (DN, learning rate 0.0001)",
        "p method (DN, learning rate 0.001)",
    ]
    assert sheet.rows == (
        ("10", "FT", "0.50 ± 0.10", "0.001*", "0.400"),
        ("10", "DN, learning rate 0.0001", "0.50 ± 0.10", "", ""),
        ("10", "DN, learning rate 0.001", "0.50 ± 0.10", "", ""),
    )


@pytest.mark.parametrize("depth", [3, 5])
def test_the_default_stands_before_the_rater_whose_rows_say_another_depth(depth):
    models = [
        Condition(arm="rater", source=None, training_size=0),
        Condition(arm="default", source="mixed", training_size=0, depth=depth),
        Condition(arm="de-novo", source=None, training_size=10, depth=depth),
    ]
    (table,) = performance_tables(
        [Summary(model, metric, 0.5, 0.1, 8, 0) for model in models for metric in METRICS],
        [],
        "fold-averaged",
    )
    assert [row[:2] for row in performance_sheet(table, PAPER_METRICS, "").rows] == [
        ("Default", ""),
        ("Grader 2", ""),
        ("10", "DN"),
    ]
