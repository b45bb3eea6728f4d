"""Whether an installed wheel's own kernels are used and right; a machine that builds wheels runs it.

    CC=no-such-compiler python tests/try_wheel.py

Raises where they are not used, or where outputs or gradients differ from the plain recurrence's in double precision.
"""

import torch

from spikemba.ops.native.bundled import find_bundled
from spikemba.ops.native.library import load
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference


def numbers(scan, tensors):
    """Outputs, and the gradients of their sum of squares."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    y = scan(*leaves)
    y.square().sum().backward()
    return [y.detach(), *(leaf.grad for leaf in leaves)]


def main():
    """Scan two pairs of 70 positions, which is more than two segments, of 33 channels, which is no whole vector."""
    found = load()
    if found.library is None or found.detail != str(find_bundled()):
        raise SystemExit(f"the wheel's kernels are not used: {found.detail}")
    g = torch.Generator().manual_seed(0)
    x, delta = torch.randn(2, 70, 33, generator=g), torch.rand(2, 70, 33, generator=g)
    tensors = [x, delta, -torch.rand(33, 5, generator=g), *torch.randn(2, 2, 70, 5, generator=g)]
    wanted = numbers(selective_scan_reference, [tensor.double() for tensor in tensors])
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for ours, right in zip(numbers(lambda *a: selective_scan(*a, backend="native"), tensors), wanted, strict=True):
            torch.testing.assert_close(ours.double(), right, rtol=1e-4, atol=1e-4)
    print(f"kernels of the wheel: {found.detail}")


if __name__ == "__main__":
    main()
