"""What a process pays before it works: `lesionlab --help`, a typo, imports; beside Python itself and peers' imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.benchmarks.frame import Contender, Row, absent, cpu_seconds

CODE = {
    "lesionlab --help": "import sys; sys.argv = ['lesionlab', '--help']; from jobs.cli import main; main()",
    "a typo": "import sys; sys.argv = ['lesionlab', 'swep']; from jobs.cli import main; main()",
    "import of training": "import lesionlab.training.loop",
}
PEERS = {"import of training": {"monai": "import monai.inferers, monai.transforms"}}


def rows(*, tiny: bool) -> Iterator[Row]:
    """One row for each way to start."""
    python = Contender("python", lambda: started("pass"))
    bound_s = min(cpu_seconds(python.work) for _ in range(3))
    for work, code in CODE.items():
        peers = {} if tiny else {name: line for name, line in PEERS.get(work, {}).items() if not absent(name)}
        ours = Contender("lesionlab", lambda code=code: started(code))
        others = [Contender(name, lambda line=line: started(line)) for name, line in peers.items()]
        yield Row("startup", work, [ours, *others], lambda: "", bound_s, "python itself", runs=1 if tiny else 5)


def started(code: str) -> None:
    """Run the code in a new process; what it prints and how it ends does not matter."""
    subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
