"""Build and parse every object key; no other module does.

A field of a key is a path segment or a part of one: letters, digits, `.`, `_`, `-`; never empty and never `..`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELD = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*?"


@dataclass(frozen=True)
class KeyPattern:
    """A family of keys, for example `models/{name}/{version}/card.json`."""

    template: str

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields in braces, in order."""
        return tuple(re.findall(r"{(\w+)}", self.template))

    def build(self, **values: str) -> str:
        """Build the key from these values. Raises ValueError if one is missing, unknown or not a safe path segment."""
        if set(values) != set(self.fields):
            raise ValueError(f"key {self.template}: wanted {sorted(self.fields)}, found {sorted(values)}")
        for name, value in values.items():
            if not re.fullmatch(_FIELD, value):
                raise ValueError(f"key {self.template}: wanted a plain name for {name}, found {value!r}")
        return self.template.format(**values)

    def of(self, attempt: str) -> KeyPattern:
        """The same key of a run within the folder of one attempt; without an attempt, the pattern itself.

        Everything that an attempt at a run writes lies in a folder of its own, so two of them never mix.
        """
        if not attempt:
            return self
        folder = "runs/{run_id}/"
        if not self.template.startswith(folder):
            raise ValueError(f"key {self.template}: wanted a key of a run to place into attempt {attempt}")
        inside = ATTEMPT.build(run_id="run", attempt=attempt).removeprefix("runs/run/")
        return KeyPattern(f"{folder}{inside}/{self.template.removeprefix(folder)}")

    def parse(self, key: str) -> dict[str, str] | None:
        """Parse the values that built this key; None if it is not of this family."""
        pattern = "".join(
            f"(?P<{part[1:-1]}>{_FIELD})" if part.startswith("{") else re.escape(part)
            for part in re.split(r"({\w+})", self.template)
        )
        match = re.fullmatch(pattern, key)
        return match.groupdict() if match else None

    def prefix(self, **values: str) -> str:
        """Prefix for a listing: the part of the key before the first field that is not given."""
        cut = next((self.template.index(f"{{{name}}}") for name in self.fields if name not in values), None)
        head = KeyPattern(self.template[:cut])
        return head.build(**{name: values[name] for name in head.fields})


# Whatever a site writes lies below its own folder, see `SITE`; nobody else writes there.
SITES = "sites/"
SITE = KeyPattern("sites/{site}")

STUDY_VOLUME = KeyPattern("sites/{site}/volumes/{study}/{digest}.zarr")
STUDY_VERDICT = KeyPattern("sites/{site}/volumes/{study}/{digest}.verdict.json")
STUDY_PICTURE = KeyPattern("sites/{site}/volumes/{study}/{digest}.pictures/{role}.png")

PART = KeyPattern("sites/{site}/cohorts/{cohort}/{digest}.json")
CURRENT_PART = KeyPattern("sites/{site}/cohorts/{cohort}/current.json")
VERDICTS = KeyPattern("sites/{site}/cohorts/{cohort}/{digest}-verdicts.parquet")
FACTS = KeyPattern("sites/{site}/cohorts/{cohort}/{digest}-facts.parquet")
RECEIPT = KeyPattern("sites/{site}/receipts/{digest}.json")
SALT_CHECK = KeyPattern("sites/{site}/salt-check.json")
WITHDRAWAL = KeyPattern("sites/{site}/withdrawn/{study}.json")
POLICY = KeyPattern("sites/{site}/policy.yaml")

SMALLEST_COUNTS = KeyPattern("consortium/smallest-counts.json")

COHORT = KeyPattern("cohorts/{cohort}.json")
MANIFEST = KeyPattern("manifests/{cohort}/{digest}.json")

OLDER_STORE = "studies/"
"""Folder of the volumes in stores of versions before 0.2.0."""

SPLIT = KeyPattern("splits/{cohort}/{digest}.json")

MODEL_WEIGHTS = KeyPattern("models/{name}/{version}/weights.safetensors")
MODEL_CARD = KeyPattern("models/{name}/{version}/card.json")
MODEL_TRANSFER = KeyPattern("models/{name}/{version}/transfer.parquet")
SELF_GRADE = KeyPattern("self-grades/{name}/{version}/{manifest}.parquet")
CHAMPION = KeyPattern("models/{name}/champion.json")
DECISION = KeyPattern("models/{name}/history/{digest}.json")

BENCHMARK = KeyPattern("manifests/benchmarks/{name}/{digest}.json")
RULE = KeyPattern("rules/{name}/{digest}.json")
SEALED_VOLUME = KeyPattern("benchmarks/volumes/{site}/{study}/{digest}.zarr")
TICKET = KeyPattern("benchmarks/results/{benchmark}/tickets/{number}.json")
GATE_ROWS = KeyPattern("benchmarks/results/{benchmark}/rows/{version}.parquet")
GATE_OUTCOME = KeyPattern("benchmarks/results/{benchmark}/outcomes/{number}.json")
GATE_GRADES = KeyPattern("benchmarks/results/{benchmark}/self-grades/{version}.parquet")
RETRAIN_DECISION = KeyPattern("retrain/{name}/{date}.json")
RETRAIN_OUTCOME = KeyPattern("retrain/{name}/outcomes/{date}.json")

PLAN = KeyPattern("plans/{experiment}/{digest}.json")
CURRENT_PLAN = KeyPattern("plans/{experiment}/current.json")

RUN_SPEC = KeyPattern("runs/{run_id}/run.json")
LEASE = KeyPattern("runs/{run_id}/lease.json")
ATTEMPT = KeyPattern("runs/{run_id}/attempts/{attempt}")
RUN_CHECKPOINT = KeyPattern("runs/{run_id}/attempts/{attempt}/checkpoints/{steps}.safetensors")
RUN_HISTORY = KeyPattern("runs/{run_id}/attempts/{attempt}/history.parquet")
# Within the folder of an attempt, see `KeyPattern.of`:
RUN_WEIGHTS = KeyPattern("runs/{run_id}/model/weights.safetensors")
RUN_CARD = KeyPattern("runs/{run_id}/model/card.json")
RUN_TRANSFER = KeyPattern("runs/{run_id}/model/transfer.parquet")
RUN_ENTRY = KeyPattern("runs/{run_id}/entry.json")
"""A copy of the attempt's ledger entry."""
RUN_RAY = KeyPattern("runs/{run_id}/ray")
PREDICTION = KeyPattern("runs/{run_id}/predictions/{study}.zarr")
SITE_PREDICTION = KeyPattern("runs/{run_id}/predictions/{site}/{study}.zarr")

RUN_STUDY_ROWS = KeyPattern("runs/{run_id}/studies.parquet")
RUN_LESION_ROWS = KeyPattern("runs/{run_id}/lesions.parquet")
RUN_OPERATING_ROWS = KeyPattern("runs/{run_id}/operating.parquet")

LEDGER = KeyPattern("ledger/{run_id}.json")
FAILURE = KeyPattern("failed/{run_id}.json")

SUBMISSION = KeyPattern("submissions/{submission}.json")
SUBMISSION_ATTEMPT = KeyPattern("submissions/{submission}/attempts/{attempt}/attempt.json")
SUBMISSION_OUTCOME = KeyPattern("submissions/{submission}/attempts/{attempt}/outcome.json")
SUBMISSION_LOG = KeyPattern("submissions/{submission}/attempts/{attempt}/log/{part}.txt")
SUBMISSION_PROGRESS = KeyPattern("submissions/{submission}/progress.json")
ACTIVE_SWEEP = KeyPattern("submissions/sweeps/{experiment}/{submission}.json")

AUDIT = KeyPattern("audit/{writer}/{number}.json")

CLOCK = KeyPattern("clock/{name}")

STUDY_ROWS = KeyPattern("results/{experiment}/studies/part-{run_id}.parquet")
LESION_ROWS = KeyPattern("results/{experiment}/lesions/part-{run_id}.parquet")
OPERATING_ROWS = KeyPattern("results/{experiment}/operating/part-{run_id}.parquet")

RESCORED_STUDY_ROWS = KeyPattern("rescored/{experiment}/{definition}/v{version}/studies/part-{run_id}.parquet")
RESCORED_LESION_ROWS = KeyPattern("rescored/{experiment}/{definition}/v{version}/lesions/part-{run_id}.parquet")

REPORT = KeyPattern("reports/{experiment}/{digest}/report.html")
REPORT_TABLE = KeyPattern("reports/{experiment}/{digest}/tables/{table}")
REPORT_FIGURE = KeyPattern("reports/{experiment}/{digest}/figures/{figure}")
REPORT_MODEL = KeyPattern("reports/{experiment}/{digest}/models/{page}")
REPORT_STUDY = KeyPattern("reports/{experiment}/{digest}/studies/{page}")


def volume_key(site: str, study: str, digest: str) -> str:
    """Place of a study's volume; the study's label may be qualified by its site."""
    return STUDY_VOLUME.build(site=site, study=study.rpartition("/")[2], digest=digest)


def sealed_key(site: str, study: str, digest: str) -> str:
    """Place of a study's volume once its benchmark is sealed: below a folder that the gate's role alone may read."""
    return SEALED_VOLUME.build(site=site, study=study.rpartition("/")[2], digest=digest)


def prediction_key(run_id: str, study: str, attempt: str = "") -> str:
    """Place of a run's prediction for a study, in the folder of an attempt if one is given."""
    site, _, label = study.rpartition("/")
    if site:
        return SITE_PREDICTION.of(attempt).build(run_id=run_id, site=site, study=label)
    return PREDICTION.of(attempt).build(run_id=run_id, study=label)
