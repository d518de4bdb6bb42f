"""What ``python -m torch.distributed.run --standalone --nproc_per_node 2`` does, by forks.

The libraries are imported once, before, and not by a launcher and every rank again: seconds each.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

WORLD = 2


def launch(main: Callable[[], None]) -> None:
    """Run `main` in two processes with the environment of ranks; leave with 1 if one of them failed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(WORLD):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.environ.update(
                    RANK=str(rank), LOCAL_RANK=str(rank), GROUP_RANK="0", WORLD_SIZE=str(WORLD),
                    LOCAL_WORLD_SIZE=str(WORLD), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
                    TORCHELASTIC_RUN_ID="forked",
                )  # fmt: skip
                main()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    failed = False
    for _ in children:
        if os.wait()[1]:
            failed = True  # the other one would wait for it
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
    sys.exit(int(failed))
