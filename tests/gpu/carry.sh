#!/bin/sh
# Puts what tests/gpu/check.sh uses besides torch into .whl/, as wheels for a machine that can fetch none:
#
#     tests/gpu/carry.sh 3.12        that machine's Python; 64-bit Linux on x86
#
# Git ignores the folder. Two megabytes of it are pydantic's; nothing in it is built for one torch.
set -eu
case ${1:-} in
3.[0-9]*) ;;
*)
	echo "usage: tests/gpu/carry.sh 3.12        the version of that machine's Python" >&2
	exit 2
	;;
esac
root=$(cd "$(dirname "$0")/../.." && pwd)
new=$root/.whl.part
rm -rf "$new"
"${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	--python-version "$1" --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
	--platform manylinux2014_x86_64 --dest "$new" --constraint "$root/constraints.txt" \
	pydantic pydantic-core annotated-types typing-inspection typing-extensions pyyaml safetensors spikingjelly loguru tqdm
rm -rf "$root/.whl"
mv "$new" "$root/.whl"
ls "$root/.whl"
