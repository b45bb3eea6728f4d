#!/bin/sh
# Holds everything that needs a GPU to what a CPU computes, and times it, in at most eight minutes:
#
#     tests/gpu/check.sh --out gpu.json       every check has a line; fails when one of them does
#     tests/gpu/check.sh --help               what can be left out
#
# It runs from this checkout, with any Python >= 3.11 that has torch, NumPy, pydantic and PyYAML; the last two, and what
# else of pure Python it can use, `tests/gpu/carry.sh` puts into .whl/ as wheels (SPIKEMBA_WHEELS names another folder).
# Checks that need more, as mamba-ssm, are skipped where it is missing, and say so.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
PYTHONPATH=$root:$root/tests:$root/benchmarks${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m gpu.check "$@"
