"""A job that is followed, taken from its nodes or cancelled: nothing is lost, and people are told what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from jobs.shared.following import SILENT_POLLS, follow, line_of
from jobs.shared.working import work_on
from lesionlab.clusters.api import connected
from lesionlab.clusters.following import Seen
from lesionlab.errors import ClusterError, NotAllowed, TrainingError
from lesionlab.experiments.submissions import (
    end_attempt,
    open_attempt,
    stored_submission,
)
from tests.clusters.controllers import KubeRay, Kueue
from tests.clusters.emulator import Object, User, kubeconfig
from tests.clusters.laptop import (
    NORTH,
    SOUTH,
    Site,
    Started,
    job_of,
    namespace,
    now_of,
    other,
    refuse,
    show,
    submitted,
    use,
)

pytestmark = pytest.mark.s3

COME_BACK = "the job goes on; to come back: lesionlab status"


# while it is followed


def test_ctrl_c_while_it_is_queued_leaves_it_in_the_queue(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    name = submitted(site)
    Kueue(site.api).settle()

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        follow(site.store, name, namespace(site), interrupt)
    assert ended.value.exit_code == 130
    assert f"{COME_BACK} {name} --watch" in capsys.readouterr().err
    assert now_of(site, name).outcome is None
    assert "deletionTimestamp" not in job_of(site, name)["metadata"]


def test_a_token_that_expires_while_a_job_is_followed_ends_the_following_alone(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    name = submitted(site)

    def expire(seconds: float) -> None:
        assert site.api.users, "it is asked again with the same token"
        site.api.users.clear()

    with pytest.raises(NotAllowed, match="log in again"):
        follow(site.store, name, namespace(site), expire)
    assert f"{COME_BACK} {name} --watch" in capsys.readouterr().err
    assert now_of(site, name).outcome is None


def test_a_plugins_tokens_are_renewed_while_a_job_is_followed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each token is good for one minute; the server forgets it after its first use."""
    calls = tmp_path / "calls"
    ends = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    script = tmp_path / "plugin.py"
    script.write_text(
        "import json, pathlib\n"
        f"calls = pathlib.Path({str(calls)!r})\n"
        "calls.write_text('x' + (calls.read_text() if calls.exists() else ''))\n"
        f"status = {{'token': f'token-{{len(calls.read_text())}}', 'expirationTimestamp': {ends!r}}}\n"
        "version = 'client.authentication.k8s.io/v1'\n"
        "print(json.dumps({'kind': 'ExecCredential', 'apiVersion': version, 'status': status}))\n"
    )
    config = kubeconfig(site.url, "", NORTH)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": [str(script)]}
    config["users"][0]["user"] = {"exec": plugin | {"interactiveMode": "Never"}}
    use(monkeypatch, tmp_path, config)
    cluster = connected()
    for _ in range(2):
        used = len(calls.read_text())
        site.api.users = {f"token-{used + 1}": User("anna@north", frozenset({NORTH}))}
        assert cluster.who() == "anna@north"


class Silent:
    """A cluster that does not answer for so many questions, then says that the job has ended."""

    def __init__(self, silent: int) -> None:
        self.silent = silent

    def seen(self, submission: str, number: int) -> Seen:
        self.silent -= 1
        if self.silent >= 0:
            raise ClusterError("cluster test: no answer from https://api")
        return Seen("failed", "failed: DeadlineExceeded")


@pytest.mark.parametrize(("silent", "goes_on"), [(SILENT_POLLS - 1, True), (SILENT_POLLS, False)])
def test_a_cluster_that_is_silent_for_some_minutes_is_asked_again(
    site: Site, capsys: pytest.CaptureFixture[str], silent: int, goes_on: bool
) -> None:
    name = submitted(site)
    with pytest.raises(typer.Exit if goes_on else ClusterError):
        follow(site.store, name, Silent(silent), lambda seconds: None)  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert "(the cluster does not answer)" in told
    assert ("DeadlineExceeded" in told, COME_BACK in told) == (goes_on, not goes_on)


def test_a_retry_is_not_told_as_a_failure(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KubeRay starts a failed command again: until it begins it is said to have failed, from then on to run."""
    name, outcomes = submitted(site), []

    def fail(*_: object, **__: object) -> None:
        outcomes.append(now_of(site, name).outcome)
        raise TrainingError("a node was lost")

    monkeypatch.setattr("jobs.shared.working.pretrain_sources", fail)
    for _ in range(2):
        with pytest.raises(TrainingError):
            work_on(site.store, name, tmp_path, plain=True)
    assert outcomes == [None, None]
    site.api.change("rayjobs", f"lesionlab-{name}", NORTH, lambda job: job["spec"].pop("suspend"))
    show(site, name, jobDeploymentStatus="Retrying")
    told = site("status", name).output
    assert "failed\n  a node was lost" in told
    assert f"it is tried again in {NORTH}/lesionlab-{name}: 0 of 2 pods" in told


def test_who_reaches_no_cluster_is_told_that_the_command_failed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = submitted(site)
    end_attempt(site.store, now_of(site, name).attempt, "failed", ["a node was lost"])
    use(monkeypatch, tmp_path, kubeconfig("http://127.0.0.1:9", "north", NORTH))
    told = site("status", name).output
    assert "no cluster is asked" in told
    assert "failed\n  a node was lost" in told
    text, _ = line_of(site.store, now_of(site, name), None)
    assert text == "failed (a node was lost); its cluster knows if it is tried again"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "failed: stopped"),
        (
            {"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "the name is long"},
            "failed: ValidationFailed the name is long",
        ),
    ],
    ids=["stopped by somebody", "refused by the operator"],
)
def test_a_job_that_ended_without_a_word_in_the_store_is_over_and_can_be_submitted_again(
    site: Site, capsys: pytest.CaptureFixture[str], status: Object, said: str
) -> None:

    def never(seconds: float) -> None:
        raise AssertionError("it is waited for")

    name = submitted(site)
    show(site, name, **status)
    with pytest.raises(typer.Exit) as ended:
        follow(site.store, name, namespace(site), never)
    assert ended.value.exit_code == 1
    assert f"ended ({said})" in capsys.readouterr().err
    assert site.submit().exit_code == 0
    assert now_of(site, name).attempt.number == 2


def test_a_job_that_somebody_deletes_says_so(site: Site) -> None:
    name = submitted(site)
    site.api.delete("rayjobs", NORTH, f"lesionlab-{name}", lambda body: True)
    assert "it is being deleted" in site("status", name).output


def test_of_a_submission_whose_attempt_was_never_opened_that_is_told(site: Site) -> None:
    """The process was killed between its two writes."""
    name = submitted(site)
    site.store.delete(f"submissions/{name}/attempts/001/attempt.json")
    for options in ([], ["--watch"]):
        result = site("status", name, *options)
        assert "no attempt was opened" in result.output
        assert result.exit_code == (1 if options else 0)


@pytest.mark.parametrize("reached", [True, False], ids=["by its cluster", "by the store alone"])
def test_following_the_log_of_a_job_that_failed_for_good_ends(
    site: Site, reached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure may be tried again, so it is no end by itself."""
    name, waited = submitted(site), []
    end_attempt(site.store, now_of(site, name).attempt, "failed", ["a node was lost"])
    site.api.change("rayjobs", f"lesionlab-{name}", NORTH, lambda job: job["spec"].pop("suspend"))
    show(site, name, jobDeploymentStatus="Retrying")

    def wait(seconds: float) -> None:
        waited.append(seconds)
        assert len(waited) < 3
        show(site, name, jobDeploymentStatus="Failed")

    monkeypatch.setattr("jobs.logs.time.sleep", wait)
    if not reached:
        use(monkeypatch, tmp_path, kubeconfig("http://127.0.0.1:9", "north", NORTH))
    assert site("logs", name, "--follow").exit_code == 0
    assert len(waited) == (1 if reached else 0)


def test_an_empty_log_says_where_to_look(site: Site) -> None:
    name = submitted(site)
    result = site("logs", name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"lesionlab status {name}" in result.stderr


def test_of_what_is_over_no_cluster_is_asked(site: Site) -> None:
    name = submitted(site)
    end_attempt(site.store, now_of(site, name).attempt, "refused", ["cohort drawn-glioma: not in the store"])
    site.api.requests.clear()
    assert "refused\n  cohort drawn-glioma" in site("status", name).output
    assert "refused" in site("status", name, "--watch").output
    assert site.api.requests == []


# pre-emption and cancelling


@pytest.fixture
def operators(site: Site) -> Iterator[tuple[Kueue, KubeRay, list[Started]]]:
    """Kueue, KubeRay, and the clusters that it started for jobs of lesionlab."""
    clusters: list[Started] = []

    def begin(job: Object) -> Started:
        cluster = Started()
        if job["metadata"]["name"].startswith("lesionlab-"):
            clusters.append(cluster)
        return cluster

    kuberay = KubeRay(site.api, begin)
    yield Kueue(site.api), kuberay, clusters
    kuberay.close()


def step(kueue: Kueue, kuberay: KubeRay) -> None:
    for _ in range(3):
        kueue.settle()
        kuberay.step()


def borrowing(site: Site, base: Object, kueue: Kueue, kuberay: KubeRay) -> str:
    """A submission that runs on GPUs that south lent."""
    for number in range(2):
        other(site, base, f"north-{number}", NORTH)
    step(kueue, kuberay)
    name = submitted(site)
    step(kueue, kuberay)
    return name


def test_a_job_that_is_pre_empted_twice_starts_three_times(
    site: Site, base: Object, operators: tuple[Kueue, KubeRay, list[Started]]
) -> None:
    kueue, kuberay, clusters = operators
    name = borrowing(site, base, kueue, kuberay)
    for times in (1, 2):
        assert len(clusters) == times
        assert "the command has not begun yet" not in site("status", name).output
        assert "running" in site("status", name).output
        for number in range(2):  # south wants its GPUs back
            other(site, base, f"south-{times}-{number}", SOUTH)
        step(kueue, kuberay)
        assert clusters[-1].killed
        told = site("status", name).output
        assert "its nodes were taken back (preempted); queued in north: wants 4 GPUs, 0 free" in told
        assert "is submitted already" in site.submit().output
        for number in range(2):
            site.api.delete("rayjobs", SOUTH, f"south-{times}-{number}", lambda body: True)
        step(kueue, kuberay)
    assert len(clusters) == 3
    assert "running" in site("status", name).output
    assert [job["metadata"]["name"] for job in site.jobs() if "lesionlab-" in job["metadata"]["name"]] == [
        f"lesionlab-{name}"
    ]


@pytest.mark.parametrize("state", ["queued", "pre-empted", "running"])
def test_a_cancelled_job_never_starts_again(
    site: Site, base: Object, operators: tuple[Kueue, KubeRay, list[Started]], state: str
) -> None:
    kueue, kuberay, clusters = operators
    if state == "queued":
        for number in range(3):
            other(site, base, f"north-{number}", NORTH)
        step(kueue, kuberay)
        name = submitted(site)
        step(kueue, kuberay)
    else:
        name = borrowing(site, base, kueue, kuberay)
        if state == "pre-empted":
            for number in range(2):
                other(site, base, f"south-{number}", SOUTH)
            step(kueue, kuberay)
    before = len(clusters)
    assert before == (0 if state == "queued" else 1)
    result = site("cancel", name)
    assert result.exit_code == 0, result.output
    assert ("two minutes" in result.output) is (state == "running")
    for job in site.jobs():
        site.api.delete("rayjobs", job["metadata"]["namespace"], job["metadata"]["name"], lambda body: True)
    step(kueue, kuberay)
    assert len(clusters) == before
    assert "cancelled" in site("jobs").output


def test_who_may_not_end_jobs_changes_nothing(site: Site) -> None:
    name = submitted(site)
    site.api.users["north"] = User("anna@north", frozenset({NORTH}), frozenset({"delete"}))
    result = site("cancel", name)
    assert result.exit_code == 1
    assert "anna@north may not end jobs" in result.output
    assert now_of(site, name).outcome is None


def test_a_cancellation_that_was_stopped_half_way_can_be_repeated(site: Site) -> None:
    name = submitted(site)
    site.api.admit = refuse("delete", "admission webhook denied the request")
    assert site("cancel", name).exit_code == 1
    assert job_of(site, name)
    site.api.admit = lambda verb, body: None
    result = site("cancel", name)
    assert result.exit_code == 0, result.output
    assert site.jobs() == []
    assert "nothing to cancel, it ended as cancelled" in site("cancel", name).output


def test_a_job_is_looked_for_where_it_was_sent_and_not_where_the_kubeconfig_points(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the other namespace there is no such job, and no template either."""
    name = submitted(site)
    use(monkeypatch, tmp_path, kubeconfig(site.url, "admin", SOUTH))
    monkeypatch.setenv("LESIONLAB_NAMESPACE", SOUTH)
    assert "queued in north" in site("status", name).output
    assert site("cancel", name).exit_code == 0
    assert site.jobs() == []


def test_what_was_cancelled_does_not_become_a_failure_when_its_nodes_go(site: Site) -> None:
    attempt = now_of(site, submitted(site)).attempt
    end_attempt(site.store, attempt, "cancelled", ["cancelled"])
    end_attempt(site.store, attempt, "failed", ["its nodes are gone"])
    now = now_of(site, attempt.submission)
    assert now.outcome is not None
    assert now.outcome.ending == "cancelled"
    end_attempt(site.store, attempt, "done")
    now = now_of(site, attempt.submission)
    assert now.outcome is not None
    assert now.outcome.ending == "done", "it was faster"


def test_the_state_for_programs_is_json_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    name = submitted(site)
    open_attempt(site.store, stored_submission(site.store, name), 1, place="here")
    monkeypatch.setattr("jobs.status.find_sound_plan", lambda *_: object())
    monkeypatch.setattr("jobs.status.current_plan", lambda *_: None)
    monkeypatch.setattr("jobs.status.run_states", lambda *_: [])
    assert json.loads(site("status", name, "--json").stdout) == []
