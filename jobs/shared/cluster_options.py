"""Options that name a cluster, and what is asked before work goes there."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.console import notes
from lesionlab.clusters.api import Cluster, connected
from lesionlab.errors import ClusterError

ContextOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Context of the kubeconfig.", show_default="the current one"),
]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="LESIONLAB_NAMESPACE",
        help="Namespace of your site, such as lesionlab-north.",
        show_default="that of the context",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A running Ray cluster without Kubernetes: the address of its dashboard, such as http://head:8265.",
        show_default=False,
    ),
]


def cluster_if_any(context: str | None, namespace: str | None) -> Cluster | None:
    """The cluster, or None if this machine has no kubeconfig that reaches one: the store knows most."""
    try:
        return connected(context, namespace)
    except ClusterError as error:
        if context:
            raise
        notes.print(f"no cluster is asked: {error}", style="dim")
        return None
