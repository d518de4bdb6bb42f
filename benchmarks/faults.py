"""Faults and what comes of them: kills, full disks, read errors, too little memory; embedded and on Flink.

    python benchmarks/faults.py embedded            # two minutes
    python benchmarks/faults.py flink --kills 20 --results kills.jsonl   # needs SYLLABUS_FLINK_JAR

The second takes about two minutes a job of three kills; stopped, it goes on after the last job in the file.

Whatever happens, no half of a shard or manifest is ever seen, the error is one line that says where, and the
rerun makes the bytes of an undisturbed job and reuses what was finished. The exit status is that of failures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("where", choices=["embedded", "flink"])
    parser.add_argument("--kills", type=int, default=20, help="on Flink")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--results", type=Path, help="a file of a line of JSON for each job on Flink")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if options.where == "flink":
            import faults_flink

            jar = os.environ.get("SYLLABUS_FLINK_JAR") or parser.error("SYLLABUS_FLINK_JAR is not set")
            failures = faults_flink.report(Path(folder), jar, options.kills, options.seed, options.results)
        else:
            import faults_embedded

            failures = faults_embedded.report(Path(folder))
    sys.exit(min(failures, 1))


if __name__ == "__main__":
    main()
