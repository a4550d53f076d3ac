"""Define what counts as a lesion and as a hit (a true positive): named definitions, stored per row as `name@digest`.

The digest is the version: a definition with any other number has another digest. Sources:

* Carass et al. 2017, NeuroImage 148:77, for ISBI 2015: lesions are 18-connected, any shared voxel is a hit.
* Commowick et al. 2018, Sci Rep 8:13650, and animaSegPerfAnalyzer (github.com/Inria-Empenn/Anima-Public) for MSSEG-2.
* Kofler et al. 2023, arXiv 2312.02608 (panoptica), for one-to-one matching.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from storage_schemas.base import Digest, Document, NonNegative, Slug
from storage_schemas.identity import Aside, identity_digest

Share = Annotated[float, Field(ge=0, le=1)]


class AnyOverlap(Document):
    """A lesion is a hit if the other mask covers enough of it, with any number of lesions."""

    rule: Literal["any-overlap"] = "any-overlap"
    minimum_overlap: Share = 0.0
    """Minimum covered fraction of the lesion; 0: any shared voxel."""


class MostlyInside(Document):
    """A lesion is a hit if enough of it is covered, by lesions that are not mostly elsewhere (MSSEG-2).

    The overlapping lesions of the other mask are taken in order of their overlap, largest first, until they make up
    `share_of_cover` of the covered volume. Of each lesion taken, at most the fraction `most_outside` may be outside
    this mask.
    """

    rule: Literal["mostly-inside"] = "mostly-inside"
    covered_above: Share = 0.10
    """The covered fraction of the lesion must be greater than this."""
    share_of_cover: Share = 0.65
    most_outside: Share = 0.70
    """Maximum fraction of a covering lesion outside all lesions of this mask."""


class OneToOne(Document):
    """A lesion is a hit if it is matched with one lesion of the other mask, one to one (panoptica).

    Pairs that share a voxel and reach the threshold may be matched. The matching with the largest sum of the measure is
    used; ties are broken by the number of pairs.
    """

    rule: Literal["one-to-one"] = "one-to-one"
    measure: Literal["iou", "dice"] = "iou"
    threshold: Share = 0.5
    """Minimum measure of a matched pair; a pair at exactly this value may be matched."""


class MetricDefinition(Document):
    """What counts as a lesion and as a hit; both masks are treated in the same way."""

    name: Annotated[Slug, Aside()] = "paper"
    connectivity: Literal[6, 18, 26] = 26
    """Connectivity of the components that are lesions."""
    minimum_volume_mm3: NonNegative = 0.0
    """Smaller components are dropped from both masks; the paper has no minimum."""
    drop_at_minimum: bool = False
    """Whether a component of exactly the minimum volume is dropped too."""
    matching: Annotated[AnyOverlap | MostlyInside | OneToOne, Field(discriminator="rule")] = AnyOverlap()
    """Rule that decides which lesions of one mask are hits in the other."""

    def version(self) -> Digest:
        """Digest of the rules: definitions that differ only in their names share it."""
        return identity_digest(self)

    def label(self) -> str:
        """Name of this definition in rows."""
        return f"{self.name}@{self.version()}"

    def lesion_in_words(self) -> str:
        """Describe what counts as a lesion: `6-connectivity, over 3 mm³`."""
        volume = f"{self.minimum_volume_mm3:g} mm³"
        least = f"over {volume}" if self.drop_at_minimum else f"from {volume}"
        return f"{self.connectivity}-connectivity" + (f", {least}" if self.minimum_volume_mm3 else "")

    def hit_in_words(self) -> str:
        """Describe what counts as a hit: `any shared voxel`."""
        rule = self.matching
        if isinstance(rule, AnyOverlap):
            return f"at least {rule.minimum_overlap:.0%} covered" if rule.minimum_overlap else "any shared voxel"
        if isinstance(rule, OneToOne):
            return f"matched one to one, {'IoU' if rule.measure == 'iou' else 'Dice'} at least {rule.threshold:g}"
        return (
            f"more than {rule.covered_above:.0%} covered; the lesions that make up {rule.share_of_cover:.0%} of "
            f"the cover are each at most {rule.most_outside:.0%} outside"
        )


DEFINITIONS: dict[str, MetricDefinition] = {
    definition.name: definition
    for definition in (
        MetricDefinition(),
        MetricDefinition(name="isbi-2015", connectivity=18),
        MetricDefinition(
            name="msseg-2", connectivity=6, minimum_volume_mm3=3.0, drop_at_minimum=True, matching=MostlyInside()
        ),
        MetricDefinition(name="one-to-one-iou", matching=OneToOne(measure="iou")),
        MetricDefinition(name="one-to-one-dice", matching=OneToOne(measure="dice")),
    )
}
"""Predefined definitions by name."""


def definition_named(name: str) -> MetricDefinition:
    """Look up a definition by name or by `name@digest`. Raises ValueError with the known names or version.

    A digest selects exactly the definition of a stored row: a different one of the same name is refused.
    """
    known = DEFINITIONS.get(name.partition("@")[0])
    if known is None:
        raise ValueError(f"wanted one of {', '.join(DEFINITIONS)}; found {name!r}")
    if name not in (known.name, known.label()):
        raise ValueError(f"wanted {known.label()}, the only known version of {known.name}; found {name!r}")
    return known


def takes_a_known_name(definition: MetricDefinition) -> bool:
    """Whether the definition has the name of a predefined one but other rules."""
    return DEFINITIONS.get(definition.name, definition) != definition


def _by_name(value: Any) -> Any:
    if isinstance(value, str):
        return definition_named(value)
    return {"name": "own"} | dict(value) if isinstance(value, Mapping) else value


NamedOrFull = Annotated[MetricDefinition, BeforeValidator(_by_name, json_schema_input_type=str | MetricDefinition)]
"""In an experiment file: the name of a definition or a full one, which is named `own` if it has no name."""
