"""What stands between tensors and C: every argument of every kernel, wrong in turn, ends before C is called."""

import ctypes
from pathlib import Path

import pytest
import torch

from spikemba import ops
from spikemba.errors import ShapeError
from spikemba.ops.native import library
from spikemba.ops.native.door import call, row_stride
from spikemba.ops.native.kernels import FOLLOWING, KERNELS, Array, Number

needs_kernels = pytest.mark.skipif(library.load().library is None, reason=library.load().detail)

SIZES = {"batch": 2, "length": 40, "width": 20, "states": 5, "row_stride": 5, "block": 16, "threads": 1, "taps": 3}
SIZES |= {"parts": 2, "steps": 3, "positions": 7, "heads": 4, "count": 9, "outer": 2}
HOW_WORK_IS_CUT = {"threads", "block"}
"""Any value in range gives the same numbers from the same memory."""
REFUSED = (ShapeError, TypeError, ValueError)
TENSORS = [(name, one.name) for name, kernel in KERNELS.items() for one in kernel.fields if isinstance(one, Array)]
NUMBERS = [(name, one.name) for name, kernel in KERNELS.items() for one in kernel.fields if isinstance(one, Number)]


def right(name):
    """Arguments that a kernel takes: zeros of the shapes that KERNELS names."""
    kernel = KERNELS[name]
    given = {one.name: SIZES.get(one.name, 0) for one in kernel.fields if isinstance(one, Number)}
    for one in kernel.fields:
        if isinstance(one, Array):
            shape = [given[axis] if axis in given else FOLLOWING[axis](given) for axis in one.axes]
            given[one.name] = torch.zeros(shape, dtype=one.dtype)
    return given


@pytest.fixture
def called(monkeypatch):
    """The names of the C functions that have run."""
    names = []
    for name in KERNELS:
        monkeypatch.setattr(library.load().library, name, lambda _, name=name: names.append(name))
    return names


@needs_kernels
@pytest.mark.parametrize("name", KERNELS)
def test_right_arguments_pass_and_no_argument_may_be_missing_or_unknown(name, called):
    call(name, **right(name))
    assert called == [name]
    for left_out in KERNELS[name].names - {"threads"}:
        with pytest.raises(TypeError, match=f"{name} takes"):
            call(name, **{key: value for key, value in right(name).items() if key != left_out})
    with pytest.raises(TypeError, match="surplus"):
        call(name, **right(name), surplus=1)
    assert called == [name]


def wrong_tensors(tensor):
    """Each with what is wrong about it."""
    longer = [size + 1 for size in tensor.shape]
    yield "shape", tensor.new_zeros(longer)
    yield "axes", tensor[None]
    yield "shorter", tensor[:-1]
    yield "dtype", tensor.to(torch.float64)
    yield "device", tensor.to("meta")
    yield "kind", tensor.tolist()
    if tensor.numel() > 1:
        yield "strides", tensor.new_zeros(*tensor.shape[:-1], 2 * tensor.shape[-1])[..., ::2]
        yield "expanded", tensor.new_zeros(()).expand(tensor.shape)


@needs_kernels
@pytest.mark.parametrize(("name", "argument"), TENSORS)
def test_each_tensor_wrong_in_turn_is_refused(name, argument, called):
    given = right(name)
    for what, tensor in wrong_tensors(given[argument]):
        with pytest.raises(REFUSED) as caught:
            call(name, **{**given, argument: tensor})
        assert "\n" not in str(caught.value), what
    optional = next(one.optional for one in KERNELS[name].fields if one.name == argument)
    together = {one for group in KERNELS[name].together for one in group}
    if not optional or argument in together:
        with pytest.raises(REFUSED):
            call(name, **{**given, argument: None})
    assert called == []


@needs_kernels
@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_each_number_wrong_in_turn_is_refused(name, argument, called):
    given = right(name)
    number = next(one for one in KERNELS[name].fields if one.name == argument)
    wrong = ["1", None]
    if number.kind is not ctypes.c_float:
        wrong += [-1, 1.5, 2**70, torch.ones(1)]
    if argument in SIZES and argument not in HOW_WORK_IS_CUT and (name, argument) != ("conv_forward", "parts"):
        wrong += [given[argument] + 1, 0]
    if number.most < 2**15:
        wrong.append(int(number.most) + 1)
    for value in wrong:
        with pytest.raises(REFUSED):
            call(name, **{**given, argument: value})
    assert called == []


@needs_kernels
def test_a_shape_error_names_both_shapes():
    given = right("scan_forward")
    with pytest.raises(ShapeError, match=r"^scan_forward: step is \(2, 40, 19\); expected \(2, 40, 20\)$"):
        call("scan_forward", **{**given, "step": given["step"][..., :-1]})


@needs_kernels
def test_a_tensor_without_memory_is_refused(called):
    freed = torch.zeros(2, 40, 20)
    freed.untyped_storage().resize_(0)
    given = right("scan_forward")
    with pytest.raises(ShapeError, match=r"^scan_forward: x has no memory behind its shape, \(2, 40, 20\)$"):
        call("scan_forward", **{**given, "x": freed})
    assert called == []


@needs_kernels
def test_what_was_right_once_is_asked_again(called):
    """A second call of the same sizes takes the short way."""
    given = right("scan_forward")
    call("scan_forward", **given)
    for one in ("x", "b", "starts"):
        for what, tensor in wrong_tensors(given[one]):
            with pytest.raises(REFUSED):
                call("scan_forward", **{**given, one: tensor})
            assert called == ["scan_forward"], what
    call("scan_forward", **{**given, "skip": None, "mask": None})
    assert called == ["scan_forward"] * 2


@needs_kernels
def test_a_library_whose_structures_are_others_is_not_used(monkeypatch):
    class Other(ctypes.Structure):
        _fields_ = (("x", ctypes.c_void_p),)

    kernel = KERNELS["gate_forward"]
    declared = kernel.structure
    monkeypatch.setitem(kernel.__dict__, "structure", Other)
    with pytest.raises(library.BuildError, match="gate_forward takes 48 bytes, and Python gives it 8"):
        library._declare(library.load().library)
    monkeypatch.setitem(kernel.__dict__, "structure", declared)
    monkeypatch.setitem(library.LIMITS, "TAPS", 9)
    with pytest.raises(library.BuildError, match="TAPS is 8 in C and 9 in Python"):
        library._declare(library.load().library)
    monkeypatch.undo()
    library._declare(library.load().library)


def test_rows_of_one_have_no_stride_of_their_own():
    assert row_stride(torch.zeros(4, 1, 16).as_strided((4, 1, 16), (16, 1, 1))) == 16
    assert row_stride(torch.zeros(4, 3, 16)[:, :1]) == 48
    assert row_stride(torch.zeros(1, 3, 16)[..., :5]) == 16
    assert row_stride(torch.zeros(2, 3, 16)[..., :5]) == 16
    assert row_stride(torch.zeros(2, 16, 3).transpose(1, 2)) is None
    assert row_stride(torch.zeros(2, 4, 16)[:, :3]) is None
    assert row_stride(torch.zeros(5).expand(2, 3, 5)) == 0


def test_nothing_but_the_door_takes_an_address():
    sources = Path(ops.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "data_ptr" in path.read_text()] == ["door.py"]
