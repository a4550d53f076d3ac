"""Write the Kubernetes resources of a consortium from its sites file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import answer_no, run_as_module
from jobs.shared.generated_files import write_or_compare
from lesionlab.clusters.cluster_files import cluster_files, drift, write_files
from lesionlab.clusters.monitoring import monitoring_files
from lesionlab.experiments.sites_file import read_sites


def cluster(
    sites: Annotated[Path, typer.Argument(metavar="SITES.yaml", help="The consortium's sites file.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the files.", show_default="cluster/ beside the sites file"),
    ] = None,
    monitoring: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write Prometheus' rules and Grafana's dashboard into this folder."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with code 3 if the files differ from the sites file.")
    ] = False,
) -> None:
    """Write namespaces, rights, networks, queues and quotas of a consortium's sites.

    The files are kustomizations that an administrator of the cluster applies. To
    change them, change the sites file and call this again.

    Example: lesionlab cluster k8s/sites.yaml --monitoring infra/monitoring
    """
    consortium, folder = read_sites(sites), out or sites.parent / "cluster"
    files = cluster_files(consortium)
    if monitoring is not None:
        again = f"lesionlab cluster {sites} --monitoring {monitoring}"
        write_or_compare(monitoring, monitoring_files(), compare=check, again=again)
    if check:
        if faults := drift(files, folder):
            answer_no(*faults, f"to write them again: lesionlab cluster {sites} --out {folder}")
        console.print(f"{folder}: as {sites} says")
        return
    write_files(files, folder)
    console.print(f"{len(files)} files for {len(consortium.sites)} sites in {folder}; apply: kubectl apply -k {folder}")


if __name__ == "__main__":
    run_as_module(cluster)
