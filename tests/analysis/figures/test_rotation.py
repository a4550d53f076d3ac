"""The diagram of the design shows training and testing subsets, as text and as a figure readable in greyscale."""

from __future__ import annotations

import pytest

from jobs.shared.experiment_files import load_spec
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.analysis.words.captions import rotation_key
from storage_schemas.experiments import ExperimentSpec


def test_the_papers_rotation_as_text() -> None:
    lines = rotation.as_text(load_spec("wahlig2023-enhancing")).splitlines()
    assert lines == [
        "      N = 10     N = 20     N = 30",
        "fold  1 2 3 4    1 2 3 4    1 2 3 4",
        "   1  T · · ■    T · ■ ■    T ■ ■ ■",
        "   2  ■ T · ·    ■ T · ■    ■ T ■ ■",
        "   3  · ■ T ·    ■ ■ T ·    ■ ■ T ■",
        "   4  · · ■ T    · ■ ■ T    ■ ■ ■ T",
        rotation_key(rotation.MARK, ()),
    ]


def by_site(design: str, **changes: object) -> ExperimentSpec:
    target = {"cohort": "ms", "design": design, "sites": ["north", "south", "west"]}
    spec = {"name": "sites", "title": "by site", "task": "flair-single", "cohorts": {"ms": {}}, "target": target}
    return ExperimentSpec.model_validate(spec | {"training_sizes": [5, 10]} | changes)


CROSS_SITE = {"cohort": "ms", "design": "cross-site", "sites": ["north", "south", "west"], "subsets": 2}


def test_designs_by_site_name_their_sites_and_only_the_folds_that_are_run() -> None:
    assert rotation.as_text(by_site("train-on-one-site", folds=[1, 3])).splitlines() == [
        "      train-on-one-site, N up to 10",
        "fold  1 2 3",
        "   1  ■ T T",
        "   3  T T ■",
        rotation_key(rotation.MARK, ("north", "south", "west")),
    ]


def test_cross_site_shows_every_network_and_says_what_it_is_trained_on() -> None:
    assert rotation.as_text(by_site("cross-site", target=CROSS_SITE)).splitlines() == [
        "      cross-site, N up to 10",
        "fold  1 2 3 4 5 6",
        "   1  T ■ T · T ·",
        "   2  ■ T · T · T",
        "   3  T · T ■ T ·",
        "   4  · T ■ T · T",
        "   5  T · T · T ■",
        "   6  · T · T ■ T",
        "   7  T ■ T ■ T ■",
        "   8  ■ T ■ T ■ T",
        "   9  T T ■ ■ ■ ■",
        "  10  ■ ■ T T ■ ■",
        "  11  ■ ■ ■ ■ T T",
        "■ training; T testing; · not used; columns are subsets: 1–2 north, 3–4 south, 5–6 west",
        "folds train on one site: 1–2 north, 3–4 south, 5–6 west; on all sites: 7–8; on all but the tested site: 9–11",
    ]
    (axes,) = rotation.figure(by_site("cross-site", target=CROSS_SITE)).axes
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["north 1", "north 2", "south 1"]


@pytest.mark.parametrize("name", ["wahlig2023-flair-single", "wahlig2023-isbi"])
def test_the_figure_is_the_same_bytes_each_time_and_tells_roles_apart_without_colour(name: str) -> None:
    spec = load_spec(name)
    first, second = (rotation.figure(spec) for _ in range(2))
    assert as_svg(first, "rotation") == as_svg(second, "rotation")
    assert as_png(first) == as_png(second)
    looks = {(rotation.HATCH[role], rotation.FILL[role] == "white") for role in rotation.MARK}
    assert len(looks) == len(rotation.MARK)
    assert [axes.get_title() for axes in first.axes] == [panel.title for panel in rotation.panels(spec)]


def test_panels_go_below_each_other_where_the_screen_is_narrow():
    lines = rotation.as_text(load_spec("wahlig2023-flair-single"), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line.split("N =")[0].strip() for line in lines if "N =" in line] == ["", ""]
    assert sum(line.startswith("fold") for line in lines) == 2


def test_where_subsets_are_sites_the_figure_names_them() -> None:
    (axes,) = rotation.figure(by_site("leave-one-site-out")).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["north", "south", "west"]
    assert axes.get_title() == "leave-one-site-out, N up to 10"
