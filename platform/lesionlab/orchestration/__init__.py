"""Run work under Ray: sessions, pools of tasks, sweeps and worker groups; and execute one run from spec to ledger."""

import os
import secrets
import sys

OWN_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A random token keeps other users of this machine out; without it Ray writes one that they can read.
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    # Loopback only, for Ray and for the workers' exchange of gradients.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    # Short trainings should not wait for a health check every 2 s, nor pay for watchers that they cannot use.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
"""Environment of a Ray session on this machine. If RAY_ADDRESS names a cluster, the cluster's environment applies."""


def cluster_address() -> str:
    """The cluster that RAY_ADDRESS names; empty if Ray is to start on this machine."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return "" if address == "local" else address


# Ray reads these variables on import. Every module that imports Ray is in this package, which sets them first.
TOO_LATE = tuple(name for name in OWN_ENVIRONMENT if "ray" in sys.modules and name not in os.environ)
"""Variables that Ray missed because it was imported first; `ray_session` then refuses to start Ray on this machine."""

if not cluster_address() and "ray" not in sys.modules:
    for _name, _value in OWN_ENVIRONMENT.items():
        os.environ.setdefault(_name, _value)
