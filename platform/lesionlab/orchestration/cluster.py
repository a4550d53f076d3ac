"""Find out where Ray is to run, and refuse an address or a folder that cannot work before Ray waits for it.

At a dead address Ray itself tries for ten minutes and then ends the process.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Final

import grpc

from lesionlab.errors import TrainingError
from lesionlab.orchestration import cluster_address

PROBE_S: Final = 7
"""How long a cluster may take to answer."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):(?P<port>[0-9]{1,5})")
_ALIVE = {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
"""A cluster behind a token refuses a question without one, but it answers."""

MOST_RAY_TEMP_BYTES: Final = 107 - len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
"""For RAY_TMPDIR. The path of a Unix socket has at most 107 bytes; the process id has up to seven digits."""

MOST_TEMP_BYTES: Final = 107 - len("/pymp-abcdefgh/listener-abcdefgh")
"""For TMPDIR: Ray's dashboard starts processes that Python's multiprocessing reaches through a socket there."""


def checked_address() -> str:
    """RAY_ADDRESS, if a cluster answers there; empty if Ray is to start on this machine.

    Raises TrainingError within about PROBE_S if the address is malformed or no cluster answers.
    """
    address = cluster_address()
    if address in ("", "auto"):  # auto: Ray looks for a running cluster on this machine
        return address
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise TrainingError(
            f"RAY_ADDRESS: wanted host:port of a cluster's control service, such as head:6379, or auto; found "
            f"{address!r} (ray:// and http:// are for programs outside the cluster: submit the command as a Ray job)"
        )
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        _check_port(found["host"].strip("[]"), int(found["port"]), address)
    else:
        _check_cluster(address)
    return address


def temp_folder() -> str:
    """The folder for Ray's sockets and logs: below RAY_TMPDIR, else TMPDIR, else /tmp; an empty variable means none.

    A TMPDIR that is too long for Ray's sockets is replaced by /tmp. Raises TrainingError if RAY_TMPDIR is too long for
    them, or TMPDIR for those of Python, if one of them is no absolute path, or cannot be a folder.
    """
    given, general = (os.environ.get(name, "").strip() for name in ("RAY_TMPDIR", "TMPDIR"))
    faults = []
    for name, folder, most in (("RAY_TMPDIR", given, MOST_RAY_TEMP_BYTES), ("TMPDIR", general, MOST_TEMP_BYTES)):
        if folder and not os.path.isabs(folder):
            faults.append(f"{name}: wanted an absolute path, found {folder!r}: processes in other folders read it too")
        elif len(os.fsencode(folder)) > most:
            faults.append(
                f"{name}: wanted a path of at most {most} bytes, because sockets lie below it; found "
                f"{len(os.fsencode(folder))}: {folder}"
            )
        elif folder and not next(path for path in (Path(folder), *Path(folder).parents) if path.exists()).is_dir():
            faults.append(f"{name}: wanted a folder, found a file in the way of {folder}; choose another folder")
    if faults:
        raise TrainingError(*faults)
    short = general if len(os.fsencode(general)) <= MOST_RAY_TEMP_BYTES else ""
    return f"{given or short or '/tmp'}/ray"


def _check_port(host: str, port: int, address: str) -> None:
    try:
        socket.create_connection((host, port), timeout=PROBE_S).close()
    except OSError as error:
        raise _no_answer(address) from error


def _check_cluster(address: str) -> None:
    """Ask the cluster's control service whether it is healthy."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=PROBE_S)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise TrainingError(
                    f"RAY_ADDRESS: {address} is not a cluster's control service (port 6379 by default; 10001 is Ray "
                    "Client, 8265 the dashboard)"
                ) from error
            if error.code() not in _ALIVE:
                raise _no_answer(address) from error


def _no_answer(address: str) -> TrainingError:
    return TrainingError(
        f"RAY_ADDRESS: no Ray cluster answers at {address}; check that it runs, or unset RAY_ADDRESS to use this "
        "machine"
    )
