"""Options that name a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

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
StoredNamespaceOption = Annotated[str | None, typer.Option(hidden=True)]
"""Of commands about a submission, which knows its namespace: scripts may give it, nothing is done with it."""
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A running Ray cluster without Kubernetes: the address of its dashboard, such as http://head:8265.",
        show_default=False,
    ),
]
