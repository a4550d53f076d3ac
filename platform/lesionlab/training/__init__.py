"""Study volumes and a run in; a trained network out: in one process, over several workers, or many runs as a sweep."""

import os
import secrets
import sys

_RAY_ON_ITS_OWN = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A random token keeps other people of this machine out; without our own, Ray writes one that they can read.
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    # Loopback only, for Ray and for the workers' exchange of gradients.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    # A training of seconds should not wait for a watch that ticks every 2 s, nor pay for watches that it cannot use.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}

# Ray reads its environment when it is imported, so this is the last moment. Where RAY_ADDRESS names a cluster, that
# cluster's environment holds; where Ray is imported already, this is one of its workers.
if "RAY_ADDRESS" not in os.environ and "ray" not in sys.modules:
    for _name, _value in _RAY_ON_ITS_OWN.items():
        os.environ.setdefault(_name, _value)
