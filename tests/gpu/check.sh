#!/bin/sh
# Holds everything that needs a GPU to what a CPU computes, and times it, in at most eight minutes:
#
#     tests/gpu/check.sh --out gpu.json       every check has a line; fails when one of them does
#     tests/gpu/check.sh --help               what can be left out
#
# It needs Python >= 3.11 with torch, and nothing installed: it runs from this checkout. Of other packages it uses what is
# there and what `tests/gpu/carry.sh` has put into .whl/ as wheels; where one is missing, the checks that need it are
# skipped and say so.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
path=$root:$root/tests:$root/benchmarks

if ls "$root"/.whl/*.whl >/dev/null 2>&1; then
	carried=$(mktemp -d)
	trap 'rm -rf "$carried"' EXIT
	"$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$carried" "$root"/.whl/*.whl
	path=$path:$carried # behind the checkout, before what is installed
fi
PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} "$python" -m gpu.check "$@"
