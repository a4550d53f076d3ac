"""Declare a cohort to which several sites contribute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect
from jobs.shared.salts import REGISTER_SALT, RegisterSaltOption, read_salt
from lesionlab.errors import InputError
from lesionlab.experiments.manifests import declared_cohort
from lesionlab.experiments.spec_files import read_yaml, validated
from lesionlab.preprocessing.contribution import salt_check
from lesionlab.store.documents import create_document, write_document
from storage_schemas import keys
from storage_schemas.parts import DeclaredCohort


def declare(
    file: Annotated[Path, typer.Argument(metavar="COHORT.yaml", help="Sites, task, spacing and rating of the cohort.")],
    store: StoreOption,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier declaration of this cohort.")] = False,
    register_salt_file: RegisterSaltOption = None,
) -> None:
    """Declare a cohort: which sites are invited, and how all of them prepare their studies.

    Each site then contributes with `lesionlab contribute`. With the register's salt,
    every site must match its patients by it.

    Example: lesionlab declare ms.yaml --store s3://ms-pool/lesionlab
    """
    what = f"cohort file {file}"
    declared = validated(read_yaml(file, what), DeclaredCohort, what)
    salt = read_salt(REGISTER_SALT, register_salt_file)
    if salt:
        declared = declared.model_copy(update={"register_check": salt_check(salt)})
    place, key = connect(store), keys.COHORT.build(cohort=declared.cohort)
    before = declared_cohort(place, declared.cohort)
    if before is None:
        create_document(place, key, declared)
    elif before != declared:
        if not replace:
            raise InputError(f"cohort {declared.cohort}: declared already, and differently; to replace that: --replace")
        write_document(place, key, declared)
    console.print(
        f"cohort {declared.cohort}: {declared.task.name} at {declared.spacing_mm:g} mm, of "
        f"{', '.join(declared.sites)}; each contributes with: lesionlab contribute DATASET --cohort {declared.cohort} "
        "--site SITE"
    )


if __name__ == "__main__":
    run_as_module(declare)
