"""An output file is written completely or not at all, and is never one of the inputs."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import nibabel as nib
import pytest

from jobs.shared.output_file import save_output
from jobs.shared.report_folder import report_folder
from lesionlab.errors import InputError
from tests.jobs.conftest import Lesionlab
from tests.jobs.test_predict import register_untrained
from tests.preprocessing.drawn import SHAPE, draw_dataset, head, image_path, lesions, save

NAMES = ("own name", "detour", "from here", "symlink", "hard link", "linked folder")


def named(kind: str, file: Path) -> Path:
    """Another path to this file."""
    other = file.with_name(f"other-{file.name}")
    if kind == "symlink":
        other.symlink_to(file)
    elif kind == "hard link":
        other.hardlink_to(file)
    elif kind == "linked folder":
        (folder := file.parent / "linked").symlink_to(file.parent)
        other = folder / file.name
    elif kind == "detour":
        other = file.parent / ".." / file.parent.name / file.name
    else:
        other = Path(os.path.relpath(file)) if kind == "from here" else file
    return other


def assert_refused(lesionlab: Lesionlab, file: Path, *arguments: object) -> None:
    """Refused as an input before any other error; the file is unchanged."""
    before = file.read_bytes()
    result = lesionlab(*arguments)
    assert result.exit_code == 1
    assert f"the input {file.parent}" in result.output
    assert "never overwritten" in result.output
    assert result.output.count("error:") == 1
    assert file.read_bytes() == before


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A patient's image."""
    return save(tmp_path / "image.nii.gz", head(0))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_an_image_is_never_overwritten_by_its_own_mask(
    lesionlab: Lesionlab, image: Path, kind: str, force: tuple[str, ...]
) -> None:
    out = named(kind, image)
    assert_refused(lesionlab, image, "predict", f"flair={image}", "--model", "no-such", "--out", out, *force)


def test_an_existing_mask_is_overwritten_only_with_force(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path, image: Path
) -> None:
    register_untrained(file_store_uri, "flair-single")
    mask, linked = tmp_path / "mask.nii.gz", tmp_path / "linked.nii.gz"
    mask.write_bytes(b"an earlier mask")
    linked.hardlink_to(mask)
    command = ("predict", image, "--model", "untrained", "--out", mask)
    refused = lesionlab(*command)
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert mask.read_bytes() == b"an earlier mask"
    forced = lesionlab(*command, "--force")
    assert forced.exit_code == 0, forced.output
    assert nib.load(mask).shape == SHAPE
    assert linked.read_bytes() == b"an earlier mask"


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("which", ["reference.nii.gz", "prediction.nii.gz", "rules.yaml"])
def test_lesions_of_masks_overwrite_neither_the_masks_nor_the_definition(
    lesionlab: Lesionlab, tmp_path: Path, kind: str, which: str
) -> None:
    inputs = [save(tmp_path / f"{name}.nii.gz", lesions()) for name in ("reference", "prediction")]
    (rules := tmp_path / "rules.yaml").write_text("connectivity: 6\n")
    out = named(kind, tmp_path / which)
    assert_refused(lesionlab, tmp_path / which, "score", *inputs, "--definition", rules, "--lesions", out)


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize("kind", NAMES)
def test_verdicts_overwrite_no_file_of_the_dataset(
    lesionlab: Lesionlab, tmp_path: Path, option: str, kind: str
) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01")
    scan = image_path(root, "sub-01")
    assert_refused(lesionlab, scan, "verify", root, option, named(kind, scan))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of paths to one study with a sidecar."""
    for name, voxels in (("flair", head(0)), ("mask", lesions())):
        save(tmp_path / "a" / f"{name}.nii.gz", voxels)
    (tmp_path / "a" / "flair.json").write_text("{}")
    (table := tmp_path / "studies.csv").write_text("study,patient,flair,mask\nsub-01,01,a/flair.nii.gz,a/mask.nii.gz\n")
    return table


@pytest.mark.parametrize("which", ["studies.csv", "a/flair.nii.gz", "a/flair.json", "a/mask.nii.gz"])
def test_verdicts_overwrite_neither_a_table_of_paths_nor_the_files_it_names(
    lesionlab: Lesionlab, table: Path, which: str
) -> None:
    file = table.parent / which
    assert_refused(lesionlab, file, "verify", table, "--csv", file)


def test_verdicts_may_be_written_again_beside_a_table_of_paths(lesionlab: Lesionlab, table: Path) -> None:
    verdicts = table.with_name("verdicts.csv")
    for _ in range(2):
        result = lesionlab("verify", table, "--csv", verdicts)
        assert result.exit_code == 0, result.output
    assert verdicts.read_text().startswith("study,")


def test_the_tables_of_a_report_do_not_overwrite_the_analysed_table(tmp_path: Path) -> None:
    (tables := tmp_path / "report" / "tables").mkdir(parents=True)
    (rows := tables / "studies.csv").touch()
    (linked := tmp_path / "linked.csv").symlink_to(rows)
    for table in (rows, linked):
        with pytest.raises(InputError, match="would overwrite the input"), report_folder(tmp_path / "report", table):
            pytest.fail("computed")
    for folder in (tmp_path / "elsewhere", tables):
        with report_folder(folder, rows):
            assert folder.is_dir()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (file := tmp_path / "lesions.csv").write_text("of last week")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # as on a full disk: the write starts and fails
    try:
        for name in ("lesions.csv", "new.csv"):
            with pytest.raises(InputError, match=f"{name}: cannot be written"):
                save_output("--lesions", tmp_path / name, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "of last week"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        save_output("--csv", pipe, b"a line\n")
        assert os.read(reader, 100) == b"a line\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_file_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        save_output("--csv", tmp_path / "lesions.csv", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "lesions.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("command", "option", "file"),
    [
        ("verify nowhere", "--json", "no/verdicts.json"),
        ("verify nowhere", "--csv", "."),
        ("evaluate ms --model no-such", "--csv", "no/lesions.csv"),
        ("predict {image} --model no-such", "--out", "no/mask.nii.gz"),
    ],
)
def test_a_place_that_no_file_can_have_is_named_before_anything_is_done(
    lesionlab: Lesionlab, tmp_path: Path, image: Path, command: str, option: str, file: str
) -> None:
    result = lesionlab(*command.format(image=image).split(), option, tmp_path / file)
    assert result.exit_code == 1
    assert f"error: {option} {tmp_path / file}: " in result.output
    assert result.output.count("error:") == 1
