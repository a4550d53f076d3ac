"""Define `sites.yaml`: the sites of a consortium, what each may write, and the GPUs that it lends and borrows.

A person writes the file; access policies, queues and namespaces are generated from it. A site is named as its folder in
the store and, with a prefix, its Kubernetes namespace, so the name is a DNS label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from storage_schemas.base import Document

SiteName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
"""A DNS label that leaves room for a prefix such as `lesionlab-`."""

SMALLEST_COUNT = 10
"""Fewest patients that a shared table cell may describe, unless a site asks for more. 10 or 11 are usual (CMS cell size
suppression policy: 11; NHS Digital disclosure control: 7 to 10)."""

Gpus = Annotated[int, Field(ge=0, le=100_000)]

StoreUri = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*$")]
"""The bucket, and the prefix within it, that all sites share."""


class Contact(Document):
    """A person or office that answers for a site."""

    name: Annotated[str, StringConstraints(min_length=1)]
    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


class Site(Document):
    """One hospital of a consortium."""

    title: Annotated[str, StringConstraints(min_length=1)]
    """Its name for people."""
    contacts: Annotated[tuple[Contact, ...], Field(min_length=1)]
    gpus: Gpus = 0
    """GPUs that it brings into the cluster."""
    lends: Gpus | None = None
    """Of these, the most that other sites may use while they are idle; None: all."""
    borrows: Gpus = 0
    """The most that it may use beyond its own, while other sites lend them."""
    smallest_count: Annotated[int, Field(ge=1)] | None = None
    """Fewest patients of this site that a shared table cell may describe; None: the consortium's."""

    @property
    def lent(self) -> int:
        """GPUs that other sites may use while they are idle."""
        return self.gpus if self.lends is None else self.lends


class SmallestCounts(Document):
    """The smallest counts of `sites.yaml` as the store has them, for whoever makes a report there."""

    consortium: SiteName
    smallest_count: Annotated[int, Field(ge=1)]
    """Fewest patients that a number in a shared report may describe."""
    sites: dict[SiteName, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """The sites that ask for more."""

    def of(self, sites: Iterable[str]) -> int:
        """The one for a report on studies of these sites: the largest."""
        return max([self.smallest_count, *(self.sites.get(site, 0) for site in sites)])


class Consortium(Document):
    """All sites of a consortium. Raises ValueError that lists every contradiction."""

    consortium: SiteName
    """Its name, also that of the group of queues that lend to each other."""
    store: StoreUri
    smallest_count: Annotated[int, Field(ge=1)] = SMALLEST_COUNT
    sites: Annotated[dict[SiteName, Site], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_consistency(self) -> Consortium:
        if faults := list(self._faults()):
            raise ValueError("\n".join(faults))
        return self

    def prefix_of(self, name: str) -> str:
        """The folder below which a site writes, and nobody else, relative to the store: `sites/north/`."""
        return f"sites/{self._known(name)}/"

    def smallest_count_of(self, name: str) -> int:
        """Fewest patients of a site that a shared table cell may describe: never fewer than the consortium's."""
        return max(self.sites[self._known(name)].smallest_count or 0, self.smallest_count)

    def smallest_counts(self) -> SmallestCounts:
        """What its store says about shared reports."""
        asked = {name: self.smallest_count_of(name) for name in self.sites}
        more = {name: count for name, count in asked.items() if count > self.smallest_count}
        return SmallestCounts(consortium=self.consortium, smallest_count=self.smallest_count, sites=more)

    @property
    def bucket(self) -> str:
        """The bucket of the store."""
        return self.store.removeprefix("s3://").partition("/")[0]

    @property
    def folder(self) -> str:
        """The store's prefix within its bucket, with a slash at its end; empty: the whole bucket."""
        _, _, folder = self.store.removeprefix("s3://").partition("/")
        return f"{folder}/" if folder else ""

    def _known(self, name: str) -> str:
        if name not in self.sites:
            raise ValueError(f"site {name}: not a site of {self.consortium}; its sites are {', '.join(self.sites)}")
        return name

    def _faults(self) -> Iterator[str]:
        for name, site in self.sites.items():
            others = sum(other.lent for key, other in self.sites.items() if key != name)
            if site.lent > site.gpus:
                yield f"sites.{name}.lends: wanted at most its {site.gpus} GPUs, found {site.lent}"
            if site.borrows > others:
                yield f"sites.{name}.borrows: wanted at most the {others} GPUs that others lend, found {site.borrows}"
            if site.smallest_count is not None and site.smallest_count < self.smallest_count:
                yield (
                    f"sites.{name}.smallest_count: wanted at least the consortium's {self.smallest_count}, found "
                    f"{site.smallest_count}"
                )
        if {".", ".."} & set(self.folder.split("/")):
            yield f"store: wanted a prefix without '.' and '..', found {self.store}"
