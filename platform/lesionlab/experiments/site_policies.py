"""Hold runs and reports to the sites' policies: what a site forbids enters no run, and leaves in no report.

This binds the platform. Whoever holds a trainer's keys can read every site's folder without it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime

import yaml

from lesionlab.errors import InputError, MissingObject, SpecError
from lesionlab.experiments.sites_file import stored_counts
from lesionlab.experiments.spec_files import validated
from lesionlab.experiments.strict_yaml import Refused, plain_values
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.manifests import ManifestEntry
from storage_schemas.parts import Part
from storage_schemas.policies import Leaves, LeftOut, Purpose, SitePolicy
from storage_schemas.runs import RunSpec
from storage_schemas.sites import SMALLEST_COUNT

MOST_BYTES = 64 * 1024

REPORT_SHOWS: Leaves = "images"
"""What the report of the hospitals shows, and exported masks: slices of single studies."""

SHOWN: Mapping[Leaves, str] = {
    "nothing": "nothing",
    "aggregates": "aggregates",
    "rows": "rows of single studies",
    "images": "images of single studies",
}


def today() -> date:
    """The date in UTC."""
    return datetime.now(UTC).date()


def purpose_of(experiment: Slug, task: Slug, *, tested: bool, on: date | None = None) -> Purpose:
    """What is wanted on a date, or today."""
    return Purpose(experiment=experiment, task=task, tested=tested, on=on or today())


def parse_policy(data: bytes, site: Slug, place: str) -> SitePolicy:
    """The policy of a site. Raises SpecError with every fault in the file."""
    what = f"policy of site {site} ({place})"
    if len(data) > MOST_BYTES:
        raise SpecError(f"{what}: wanted at most {MOST_BYTES} bytes, found {len(data)}")
    try:
        policy = validated(plain_values(data), SitePolicy, what)
    except yaml.YAMLError as error:
        raise SpecError(f"{what}: not valid YAML: {error}") from error
    except Refused as error:
        raise SpecError(*(f"{what}: {fault}" for fault in error.args)) from error
    if policy.site != site:
        raise SpecError(f"{what}: site: wanted {site}, found {policy.site}")
    return policy


def site_policy(store: Store, site: Slug) -> SitePolicy | None:
    """What a site allows; None: it has no policy. Raises SpecError if its policy cannot be read: nothing is allowed."""
    key = keys.POLICY.build(site=site)
    try:
        data = store.get(key)
    except MissingObject:
        return None
    return parse_policy(data, site, f"{store.uri}: {key}")


def usable(store: Store, cohort: Slug, parts: Iterable[Part], purpose: Purpose) -> tuple[Part, ...]:
    """The parts of the sites that allow this purpose. Raises InputError that names every site if none does."""
    parts = tuple(parts)
    out = {one.site: one for one in _left_out(store, parts, purpose)}
    if parts and len(out) == len(parts):
        raise InputError(*(one.text() for one in out.values()), f"cohort {cohort}: no study is left")
    return tuple(part for part in parts if part.site not in out)


def left_out(store: Store, parts: Iterable[Part], purpose: Purpose) -> tuple[LeftOut, ...]:
    """The sites that forbid this purpose, with the number of their studies and why."""
    return tuple(_left_out(store, parts, purpose))


def _left_out(store: Store, parts: Iterable[Part], purpose: Purpose) -> Iterator[LeftOut]:
    for part in parts:
        policy = site_policy(store, part.site)
        if policy is not None and (why := policy.forbids(purpose)):
            yield LeftOut(cohort=part.cohort, site=part.site, studies=len(part.studies), why=why)


def refuse_forbidden(store: Store, runs: Iterable[RunSpec], advice: str, on: date | None = None) -> None:
    """Raises InputError that names each site whose policy forbids what these runs do with its studies, and how many.

    `advice` says what to do. For runs that were planned before: a policy may have changed or expired since. It is asked
    for a date, or for today.
    """
    wanted: dict[tuple[Slug, Purpose], set[str]] = defaultdict(set)
    for run in runs:
        for entries, tested in ((run.train, run.cell is not None), (run.test, True)):
            for entry in entries:
                purpose = purpose_of(run.experiment, run.task.name, tested=tested, on=on)
                wanted[entry.site, purpose].add(entry.study)
    policies = {site: site_policy(store, site) for site in {site for site, _ in wanted}}
    faults = {
        (site, why): studies
        for (site, purpose), studies in wanted.items()
        if (policy := policies[site]) is not None and (why := policy.forbids(purpose))
    }
    if faults:
        told = [f"site {site}: {_count(studies)} planned, but {why}" for (site, why), studies in faults.items()]
        raise InputError(*told, advice)


def refuse_leaving(
    store: Store, experiment: Slug, task: Slug, entries: Iterable[ManifestEntry], what: Leaves, advice: str = ""
) -> None:
    """Raises InputError that names each site of these studies whose policy lets less leave, or forbids their use.

    `advice` says what to do instead, and is given only where aggregates may leave.
    """
    entries = tuple(entries)
    if faults := withheld(store, experiment, task, entries, what):
        other_way = advice and not withheld(store, experiment, task, entries, "aggregates")
        raise InputError(*faults, *([advice] if other_way else []))


def withheld(
    store: Store, experiment: Slug, task: Slug, entries: Iterable[ManifestEntry], what: Leaves
) -> tuple[str, ...]:
    """One sentence for each site of these studies whose policy lets less leave, or forbids their use."""
    counts = Counter({entry.study: entry.site for entry in entries}.values())
    purpose = purpose_of(experiment, task, tested=True)
    faults = []
    for site, count in sorted(counts.items()):
        policy = site_policy(store, site)
        if policy is None:
            continue
        why = policy.forbids(purpose)
        if not why and not policy.lets(what):
            why = f"its policy lets {SHOWN[policy.leaves]} leave, and this shows {SHOWN[what]}"
        if why:
            faults.append(f"site {site}: {_count(range(count))} in {experiment}, but {why}")
    return tuple(faults)


def without_report(store: Store, runs: Iterable[RunSpec]) -> tuple[str, ...]:
    """Why the report of the hospitals on these runs of one experiment would be refused, and what can be had instead;
    empty: it would not."""
    try:
        refuse_report(store, runs)
    except InputError as error:
        return tuple(map(str, error.args))
    return ()


def refuse_report(store: Store, runs: Iterable[RunSpec]) -> None:
    """Raises InputError if a site's policy does not let leave what the report of the hospitals shows."""
    runs = list(runs)
    refuse_showing(store, runs, REPORT_SHOWS, shared_instead(runs[0].experiment) if runs else "")


def shared_instead(experiment: Slug) -> str:
    """What to do where the report of the hospitals is refused."""
    return f"lesionlab analyse {experiment} --share consortium --out DIR shows aggregates alone"


def refuse_showing(store: Store, runs: Iterable[RunSpec], what: Leaves, advice: str = "") -> None:
    """As `refuse_leaving`, for everything that these runs of one experiment were trained on or tested with."""
    runs = [run for run in runs if run.cell is not None]
    if runs:
        entries = [entry for run in runs for entry in (*run.train, *run.test)]
        refuse_leaving(store, runs[0].experiment, runs[0].task.name, entries, what, advice)


def smallest_count(store: Store, runs: Iterable[RunSpec], given: int | None = None) -> int:
    """Fewest patients that an aggregate over these runs may describe: the largest of what is given, what the consortium
    agreed on and what the sites' policies ask for; SMALLEST_COUNT if nothing is given or agreed on."""
    return smallest_count_of(store, {entry.site for run in runs for entry in (*run.train, *run.test)}, given)


def smallest_count_of(store: Store, sites: Collection[Slug], given: int | None = None) -> int:
    """The same over studies of these sites."""
    agreed = stored_counts(store)
    own = [agreed.of(sites) if agreed else SMALLEST_COUNT if given is None else given, given or 0]
    policies = (site_policy(store, site) for site in sorted(sites))
    return max([*own, *(policy.smallest_count for policy in policies if policy and policy.smallest_count)])


def fewest_told(store: Store, sites: Collection[Slug]) -> int:
    """Fewest patients that a number may describe which a command prints about studies of these sites; 1 where neither
    the consortium nor a site asks for more."""
    return smallest_count_of(store, sites, 1)


def refuse_few(store: Store, about: str, sites: Collection[Slug], patients: Mapping[str, int]) -> None:
    """Raises InputError with the names of the numbers that describe too few patients; `patients`: how many each has."""
    fewest = fewest_told(store, sites)
    if few := [name for name, count in patients.items() if count < fewest]:
        raise InputError(
            f"{about}: {', '.join(few)}: of fewer than {fewest} patients, the fewest that a number may describe here "
            "(the consortium agreed on it, or a site's policy asks for it); take more patients"
        )


def _count(studies: Iterable[object]) -> str:
    count = len(list(studies))
    return "1 study" if count == 1 else f"{count} studies"
