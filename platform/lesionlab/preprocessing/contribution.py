"""Prepare a hospital's dataset for a cohort of several sites: pseudonyms, register tokens, one site for all studies.

Two secrets take part and are stored nowhere. The site's own salt makes pseudonyms, which nobody outside the site can
reverse. The consortium's register salt makes tokens of register entries, which show that two sites have one patient,
and serve nothing else: they stay in the sites' parts and enter no manifest.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lesionlab.errors import InputError
from lesionlab.preprocessing.facts import fact_columns
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.privacy import pseudonymised
from storage_schemas.base import Sha256, Slug
from storage_schemas.parts import DeclaredCohort

REGISTER_COLUMN = "register_id"
"""Column of participants.tsv with the patient's entry in the consortium's register; its values never leave the site."""


@dataclass(frozen=True)
class Contribution:
    """A dataset as it may leave its site."""

    dataset: Dataset
    tokens: Mapping[str, Sha256]
    """By the patient's pseudonym, for patients with an entry in the register."""


def prepare(dataset: Dataset, site: Slug, salt: str, register_salt: str | None) -> Contribution:
    """Replace every name by a pseudonym, every site by this one, and register entries by tokens.

    Of the participants' rows only what becomes a fact is kept: everything else could be guessed from a digest.
    """
    hashed = pseudonymised(dataset, salt)
    tokens = {}
    for files in hashed.studies:
        entry = next((cell for name, cell in files.participant.items() if name.lower() == REGISTER_COLUMN), "")
        if register_salt and (plain := re.sub(r"[\s./-]", "", entry).upper()) and plain != "NA":
            tokens[files.patient] = _hmac(register_salt, f"register {plain}")
    studies = tuple(
        replace(
            files,
            site=site,
            participant=fact_columns(files.participant),
        )
        for files in hashed.studies
    )
    return Contribution(Dataset(studies, hashed.faulty, hashed.notes, site), tokens)


def salt_check(salt: str) -> Sha256:
    """Tells a wrong salt from the right one, and nothing else about it."""
    return _hmac(salt, "lesionlab: is this the same salt?")


def check_invitation(declared: DeclaredCohort | None, cohort: Slug, site: Slug, register_salt: str | None) -> None:
    """Raises InputError with every fault if the site may not contribute, or has the wrong register salt or none."""
    if declared is None:
        raise InputError(
            f"cohort {cohort}: not declared; the consortium declares it first: lesionlab declare {cohort}.yaml (a "
            "single hospital needs no declaration: lesionlab preprocess)"
        )
    faults = []
    if site not in declared.sites:
        faults.append(f"cohort {cohort}: site {site} is not invited; invited are {', '.join(declared.sites)}")
    if declared.register_check and register_salt is None:
        faults.append(
            f"cohort {cohort}: its patients are matched between sites; wanted the register's salt "
            "(--register-salt-file), found none"
        )
    if declared.register_check and register_salt and salt_check(register_salt) != declared.register_check:
        faults.append(f"cohort {cohort}: the register's salt is not the one that the cohort was declared with")
    if faults:
        raise InputError(*faults)


def _hmac(salt: str, text: str) -> Sha256:
    return hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()
