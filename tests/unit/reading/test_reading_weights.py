"""Weights of strangers: the tensors are read, nothing runs, and no size is believed that is not there."""

import importlib.util
import pickle
import struct
import zipfile
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
import torch

from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.encoders.slowfast_weights import read_slowfast
from spikemba.errors import CheckpointError
from spikemba.files import write_json
from spikemba.reading import pickles
from spikemba.reading.torch_files import read_torch
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable
from spikemba.weight_files import load_state, read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(3).half(), "n": torch.tensor(4)}


def same(found, wanted):
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True)


SCRIPT = """
import torch
from typing import Tuple
from torch import Tensor

class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 3)
        self.register_buffer("scale", torch.ones(2))
        self.constant = torch.zeros(3)
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(3)])

    def forward(self, x):
        return self.norms[0](self.linear(x * self.scale) + self.constant)

class Evil(torch.jit.ScriptModule):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.zeros(3))
    @torch.jit.script_method
    def forward(self, x):
        return x
    @torch.jit.script_method
    def __getstate__(self):
        return (self.w, self.training)
    @torch.jit.script_method
    def __setstate__(self, state: Tuple[Tensor, bool]):
        self.w = state[0]
        self.training = state[1]
        written = torch.from_file("TARGET", True, 3, dtype=torch.uint8)
        written.fill_(65)
        self.w = written
"""


@pytest.fixture
def scripts(tmp_path):
    """The classes above, of a module that TorchScript finds the source of."""
    path = tmp_path / "scripts_of_a_stranger.py"
    path.write_text(SCRIPT.replace("TARGET", str(tmp_path / "ran")))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_gives_its_state_dict_and_runs_nothing(scripts, tmp_path):
    module = scripts.Plain().eval()
    torch.jit.script(module).save(str(tmp_path / "script.pt"))
    torch.jit.trace(module, torch.zeros(2, 2)).save(str(tmp_path / "trace.pt"))
    for name in ("script.pt", "trace.pt"):
        same(read_state(tmp_path / name), module.state_dict())
    scripts.Evil().save(str(tmp_path / "evil.pt"))
    for reader in (read_state, read_slowfast):
        assert "w" not in reader(tmp_path / "evil.pt")
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_prefixes_of_wrappers_and_tables_are_left_out(tmp_path, prefix, zipped):
    state = OrderedDict((prefix + name, tensor) for name, tensor in STATE.items())
    beside = {"epoch": 3, "best": np.float64(0.7), "args": __import__("argparse").Namespace(lr=1.0), "at": tmp_path}
    torch.save({"state_dict": state, **beside}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    same(read_state(tmp_path / "a.pt"), STATE)


def test_every_kind_of_number_and_layout_comes_back(tmp_path):
    kinds = [
        torch.float64,
        torch.bfloat16,
        torch.int8,
        torch.uint8,
        torch.int16,
        torch.int32,
        torch.bool,
        torch.complex64,
    ]
    state = {str(kind): torch.ones(2, 3).to(kind) for kind in kinds}
    base = torch.arange(24.0).reshape(4, 6)
    state |= {"t": base.t(), "part": base[1:3, ::2], "wide": torch.ones(1, 3).expand(4, 3), "none": torch.zeros(0, 3)}
    state |= {"tied": base, "p": torch.nn.Parameter(torch.ones(2)), "small": torch.tensor([1, 2], dtype=torch.uint16)}
    for zipped in (True, False):
        torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        same(read_torch(tmp_path / "a.pt"), {name: tensor.detach() for name, tensor in state.items()})


def test_a_file_without_check_sums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    same(read_state(tmp_path / "a.pt"), STATE)


# --- hostile pickles: each step is written out, since no pickler writes such


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def raw(content):
    """Bytes as protocol 2 writes them."""
    return b"c_codecs\nencode\n" + text(content.decode("latin1")) + text("latin1") + b"\x86R"


def array(kind, shape, content):
    """Of numpy, with what its type and shape say of it."""
    dtype = (
        b"cnumpy\ndtype\n"
        + text(kind)
        + b"\x89\x88\x87R("
        + b"K\x03"
        + text("<")
        + b"NNN"
        + b"J\xff\xff\xff\xff" * 2
        + b"K\x00tb"
    )
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + raw(b"b") + b"\x87R"
    return start + b"(K\x01" + shape + dtype + b"\x89" + raw(content) + b"tb"


def number(n):
    return b"\x8a\x08" + struct.pack("<q", n)


HOSTILE = {
    "objects": b"}" + text("conv1_w") + array("O8", b"K\x01\x85", b"A" * 8) + b"s.",
    "text": b"}" + text("conv1_w") + array("S8", b"K\x01\x85", b"A" * 8) + b"s.",
    "large": b"}" + text("conv1_w") + array("f4", number(1 << 40) + b"\x85", b"A" * 8) + b"s.",
    "negative": b"}" + text("conv1_w") + array("f4", number(-1) + b"\x85", b"A" * 8) + b"s.",
    "memory": b"}r\xff\xff\xff\xff.",
    "bytes": b"\x96" + struct.pack("<Q", 1 << 46) + b".",
    "frame": b"\x95" + struct.pack("<Q", 1 << 62) + b"}.",
    "key": b"}" + b"N" + b"\x85" * 10_000 + b"Ns.",
    "laughs": b"}" + b"K\x01" + b"2\x86" * 100 + b"Ns.",
    "copies": b"}" + text("a" * 100_000) + b"q\x000" + b"(" + b"".join(
        number(i) + b"c_codecs\nencode\nh\x00" + text("latin1") + b"\x86R" for i in range(3000)) + b"u.",
    "steps": b"}" + b"N0" * 15_000 + b".",
    "depth": b"]" * 10_000 + b"a" * 9_999 + b".",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
    "extension": b"\x82\x01.",
    "buffer": b"\x97.",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_or_holds_nothing(tmp_path, name, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_STEPS", 25_000)
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + HOSTILE[name])
    for reader in (read_slowfast, read_state):
        with suppress(CheckpointError):
            assert reader(tmp_path / "a.pkl") == {}


def changed_pickle(path, change):
    """The same archive with its pickle changed."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, change(content) if name.endswith("data.pkl") else content)


def test_no_size_that_a_pickle_names_is_believed(tmp_path):
    torch.save({"a": torch.zeros(77)}, tmp_path / "a.pt")
    changed_pickle(tmp_path / "a.pt", lambda content: content.replace(b"KM", b"J\xff\xff\xff\x7f"))
    with pytest.raises(CheckpointError, match="a tensor is 2147483647, where 77 numbers are stored"):
        read_state(tmp_path / "a.pt")
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 10)}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="far larger than the file"):
        read_state(tmp_path / "b.pt")
    base = torch.zeros(1000, 1000)
    torch.save({str(i): base for i in range(40)}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="far larger than the file"):
        read_state(tmp_path / "c.pt")


def test_members_that_unpack_to_more_than_the_file_can_hold_are_refused(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, bytes(257 << 20) if name.endswith("data/0") else content)
    with pytest.raises(Unreadable, match="more than the file holds"):
        read_torch(tmp_path / "a.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value):
    module = torch.nn.Linear(2, 3)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state["bias"][1] = value
    with pytest.raises(CheckpointError, match=r"f.pt: 1 of the 3 numbers of bias are NaN or infinite"):
        load_state(module, state, "f.pt")


def test_large_numbers_in_half_precision_are_no_fault():
    module = torch.nn.Linear(64, 64).half()
    load_state(module, {name: torch.full_like(t, 60_000.0) for name, t in module.state_dict().items()}, "f.pt")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model", "width"), 1 << 40),
        (("model", "width"), 900_000),
        (("model", "n_blocks"), 900_000),
        (("model", "n_input_layers"), 10**6),
        (("model", "mixer", "state_size"), 10**30),
        (("features", "text", "dim"), 10**9),
        (("model", "slots", "n_slots"), 500_000),
    ],
)
def test_settings_that_ask_for_more_than_the_weights_hold_are_refused_at_once(
    tmp_path, checkpoint_folder, place, value
):
    tree = read_json(checkpoint_folder / "config.json")
    branch = tree
    for key in place[:-1]:
        branch = branch[key]
    branch[place[-1]] = value
    write_json(checkpoint_folder / "config.json", tree)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(checkpoint_folder)
    assert "\n" not in str(caught.value)


@pytest.fixture
def checkpoint_folder(tmp_path):
    from fuzz.readers import _checkpoint

    _checkpoint(tmp_path / "ck")
    return tmp_path / "ck"


def test_a_pickle_that_python_writes_comes_back_at_every_protocol(tmp_path):
    tree = {
        "conv1_w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "n": np.float64(2.5),
        "s": ["a", (1, 2.5, None, True)],
    }
    for protocol in range(6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree, protocol))
        found = read_torch(tmp_path / "a.pkl")
        np.testing.assert_array_equal(found["conv1_w"], tree["conv1_w"])
        assert found["n"] == 2.5, protocol
        assert found["s"] == tree["s"]
