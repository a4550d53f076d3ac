"""Models from elsewhere are arms under their own names, with a size or without, in one Bonferroni family."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlab.analysis.figures.drawing import looks
from lesionlab.analysis.report import table_report
from lesionlab.analysis.statistics.compute import Statistics, statistics
from lesionlab.analysis.statistics.conditions import conditions
from lesionlab.analysis.statistics.external import read_table
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words.answer import answer_text
from lesionlab.errors import InputError

HEADER = "study,patient,site,arm,training_size,fold,sensitivity,ppv"
ARMS = ("FT,10", "DN,10", "Default,0", "nnU-Net,0", "LST-AI,0", "Swin UNETR,10")


def lines(*arms: str) -> list[str]:
    return [
        f"sub-{study:02d},p{study:02d},north,{arm},{1 + study // 4},0.{4 + place}{study % 4},0.{3 + place}{study % 3}"
        for study in range(12)
        for place, arm in enumerate(arms)
    ]


def table_of(tmp_path: Path, *arms: str) -> Path:
    file = tmp_path / "rows.csv"
    file.write_text("\n".join([HEADER, *lines(*arms)]) + "\n")
    return file


def found_in(file: Path, **declared: str) -> Statistics:
    rows = read_table(file).rows
    return statistics(rows, rows, "per-study", Options(null_repetitions=0, declared=declared))


def test_each_is_compared_with_every_model_in_one_family(tmp_path: Path) -> None:
    found = found_in(table_of(tmp_path, *ARMS))
    own = [e for e in found.effects if e.metric == "ppv" and e.pair and e.pair.other.arm == "other"]
    pairs = {(e.pair.model.source or e.pair.model.arm, e.pair.other.source) for e in own if e.pair}
    ours = {(model, name) for model in ("fine-tuned", "de-novo", "default") for name in ("LST-AI", "nnU-Net")}
    assert ours < pairs
    assert ("LST-AI", "nnU-Net") in pairs
    assert len(pairs) == 3 * 3 + 3
    assert {(e.family, e.test, e.n) for e in own} == {(12, "paired-t", 12)}


def test_they_change_no_other_comparison(tmp_path: Path) -> None:
    alone, together = found_in(table_of(tmp_path, *ARMS[:3])), found_in(table_of(tmp_path, *ARMS))
    assert set(alone.effects) <= set(together.effects)


def test_a_size_is_their_own(tmp_path: Path) -> None:
    rows = read_table(table_of(tmp_path, *ARMS)).rows
    sizes = {model.source: model.training_size for model in conditions(rows) if model.arm == "other"}
    assert sizes == {"nnU-Net": 0, "LST-AI": 0, "Swin UNETR": 10}


def test_they_are_in_tables_figures_and_files_under_their_names(tmp_path: Path) -> None:
    table = read_table(table_of(tmp_path, *ARMS))
    files = table_report(table, found_in(table_of(tmp_path, *ARMS)))
    assert "p_versus_Swin UNETR, 10 studies" in files["tables/performance.csv"].decode()
    assert "de novo versus LST-AI" in files["tables/effects.csv"].decode()
    listed = [line.partition(",")[0] for line in files["tables/ours-models-from-elsewhere.csv"].decode().splitlines()]
    assert (listed.count("sensitivity"), listed.count("ppv"), listed.count("dice")) == (12, 12, 0)
    assert "p nnU-Net" in files["report.html"].decode()
    drawn = looks(conditions(table.rows))
    assert len({(look.fill, look.hatch) for look in drawn.values()}) == len(ARMS)


def test_alone_they_have_means_and_comparisons_and_no_verdict_is_claimed(tmp_path: Path) -> None:
    text = answer_text(found_in(table_of(tmp_path, "nnU-Net,0", "LST-AI,0")).answer).text()
    assert "nnU-Net: sensitivity" in text
    assert "cannot show whether fine-tuning helps" in text
    found_in(table_of(tmp_path, "nnU-Net,0"))


def test_undeclared_training_is_a_caution_and_a_declaration_is_quoted(tmp_path: Path) -> None:
    found = found_in(table_of(tmp_path, *ARMS), **{"nnU-Net": "60 studies of site west, none of these patients"})
    text = answer_text(found.answer).text()
    assert "nnU-Net was trained on: 60 studies of site west, none of these patients (declared by the user" in text
    assert "What LST-AI was trained on is not declared" in text
    assert "(leakage) cannot be excluded" in text


@pytest.mark.parametrize("misspelt", ["fine tuned", "de-nova", "defualt", "rater2"])
def test_a_name_like_an_arm_is_refused_as_misspelt(tmp_path: Path, misspelt: str) -> None:
    with pytest.raises(InputError, match="is meant, write it so") as error:
        read_table(table_of(tmp_path, "FT,10", f"{misspelt},0"))
    assert f"found '{misspelt}'" in str(error.value)
