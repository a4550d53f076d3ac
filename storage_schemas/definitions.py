"""What counts as a lesion and what as a hit: named definitions, stored with every row as `name@digest`.

The digest is the version: a definition that changes in one number has another. Sources:

* Carass et al. 2017, NeuroImage 148:77, for ISBI 2015: lesions are 18-connected, any shared voxel is a hit.
* Commowick et al. 2018, Sci Rep 8:13650, and animaSegPerfAnalyzer (github.com/Inria-Empenn/Anima-Public) for MSSEG-2.
* Kofler et al. 2023, arXiv 2312.02608 (panoptica), for one-to-one matching.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from storage_schemas.base import Digest, Document, Slug
from storage_schemas.identity import Aside, identity_digest

Share = Annotated[float, Field(ge=0, le=1)]


class AnyOverlap(Document):
    """A lesion is hit where the other mask covers enough of it, by whatever number of lesions."""

    rule: Literal["any-overlap"] = "any-overlap"
    minimum_overlap: Share = 0.0
    """Part of the lesion that must be covered; 0: any shared voxel."""


class MostlyInside(Document):
    """A lesion is hit where enough of it is covered, and by lesions that do not lie mostly elsewhere (MSSEG-2).

    The other mask's lesions that touch it are taken in the order of what they cover, largest first, until they make up
    `share_of_cover` of all that is covered; each one taken must lie outside this mask by at most `most_outside`.
    """

    rule: Literal["mostly-inside"] = "mostly-inside"
    covered_above: Share = 0.10
    """More than this part of the lesion must be covered."""
    share_of_cover: Share = 0.65
    most_outside: Share = 0.70
    """Part of a covering lesion that may lie outside all lesions of this mask."""


class OneToOne(Document):
    """A lesion is hit by at most one lesion of the other mask, and that one hits no other (panoptica).

    Pairs that share a voxel and reach the threshold may be matched; of all ways to match, the one with the greatest
    sum of the measure counts, and among equals the one with more pairs.
    """

    rule: Literal["one-to-one"] = "one-to-one"
    measure: Literal["iou", "dice"] = "iou"
    threshold: Share = 0.5
    """Least measure of a matched pair; a pair at just this value may be matched."""


class MetricDefinition(Document):
    """What counts as a lesion and what as a hit; both masks are treated alike."""

    name: Annotated[Slug, Aside()] = "paper"
    connectivity: Literal[6, 18, 26] = 26
    """Neighbourhood that makes voxels one lesion."""
    minimum_volume_mm3: Annotated[float, Field(ge=0)] = 0.0
    """Smaller components are dropped from both masks; the paper has no minimum."""
    drop_at_minimum: bool = False
    """Whether a component of just the minimum volume is dropped as well."""
    matching: Annotated[AnyOverlap | MostlyInside | OneToOne, Field(discriminator="rule")] = AnyOverlap()
    """When a lesion of one mask is a hit for the other."""

    def version(self) -> Digest:
        """The rules' own name: definitions that differ in their names alone share it."""
        return identity_digest(self)

    def label(self) -> str:
        """How rows name this definition."""
        return f"{self.name}@{self.version()}"

    def lesion_in_words(self) -> str:
        """What counts as a lesion: `6-neighbourhood, over 3 mm³`."""
        volume = f"{self.minimum_volume_mm3:g} mm³"
        least = f"over {volume}" if self.drop_at_minimum else f"from {volume}"
        return f"{self.connectivity}-neighbourhood" + (f", {least}" if self.minimum_volume_mm3 else "")

    def hit_in_words(self) -> str:
        """What counts as a hit: `any shared voxel`."""
        rule = self.matching
        if isinstance(rule, AnyOverlap):
            return f"at least {rule.minimum_overlap:.0%} covered" if rule.minimum_overlap else "any shared voxel"
        if isinstance(rule, OneToOne):
            return f"matched one to one, {'IoU' if rule.measure == 'iou' else 'Dice'} at least {rule.threshold:g}"
        return (
            f"more than {rule.covered_above:.0%} covered, and the lesions that make up {rule.share_of_cover:.0%} of "
            f"that each at most {rule.most_outside:.0%} outside"
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
"""The definitions that have a name of their own."""


def definition_named(name: str) -> MetricDefinition:
    """The definition of this name, or of this `name@digest`. Raises ValueError with the known names, or the version.

    With a digest, the very definition of a stored row is meant: a later one of the same name is refused.
    """
    known = DEFINITIONS.get(name.partition("@")[0])
    if known is None:
        raise ValueError(f"wanted one of {', '.join(DEFINITIONS)}; found {name!r}")
    if name not in (known.name, known.label()):
        raise ValueError(f"wanted {known.label()}, the version of {known.name} that is known here; found {name!r}")
    return known


def takes_a_known_name(definition: MetricDefinition) -> bool:
    """Whether it goes by the name of a known definition and has other rules."""
    return DEFINITIONS.get(definition.name, definition) != definition


def _by_name(value: Any) -> Any:
    if isinstance(value, str):
        return definition_named(value)
    return {"name": "own"} | dict(value) if isinstance(value, Mapping) else value


NamedOrFull = Annotated[MetricDefinition, BeforeValidator(_by_name, json_schema_input_type=str | MetricDefinition)]
"""In a study file: the name of a definition, or a whole one, which is called `own` where it has no name."""
