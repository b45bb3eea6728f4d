"""Encoders by name: ours and those of other packages, of which a broken one is named and breaks no other."""

import importlib
import re
import subprocess
import sys

import pytest
from broken_packages import put_encoders, spikemba
from typer.testing import CliRunner

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.registry import OWN, brought_by, encoder_names, find_encoder, load_encoder, load_encoders
from spikemba.errors import LibraryBroken, SpikeMbaError, UnknownName
from spikemba_cli.main import app

TOY = """
import numpy as np
from spikemba.encoders.entry import EncoderEntry
from spikemba.video.sampling import FrameRule

class Toy:
    frames_per_clip, dim, weights = 1, 3, "none"

    def __init__(self, name):
        self.name = name

    def frame_rule(self, clip_s):
        return FrameRule(fps=1 / clip_s, size_px=32)

    def encode_clips(self, frames):
        return frames.mean((1, 2, 3)).astype(np.float32)

def load(name, model, options):
    return Toy(name)

ENTRY = EncoderEntry(name="toy", what="mean colour", load=load)
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A function that installs a package of encoders for this process."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(package, encoders, body="", version="1.0"):
        put_encoders(tmp_path, package, encoders, body, version)
        importlib.invalidate_caches()

    before = set(sys.modules)
    yield put
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_names_are_had_without_what_encoders_need():
    code = (
        "import sys; from spikemba.encoders.registry import encoder_names\n"
        "encoder_names(); sys.exit(bool({'torch', 'numpy', 'av', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_entry_is_found_by_its_name_alone_or_with_a_model():
    for name in OWN:
        entry = find_encoder(name)
        assert entry is find_encoder(f"{name}:some/model")
        assert (entry.name, entry.forms[0], brought_by(name)) == (name, name, "spikemba")
        assert entry.what


def test_an_unknown_name_is_told_the_right_ones():
    with pytest.raises(UnknownName, match=r"no encoder is called 'clp'; did you mean 'cl[ai]p' or 'cl[ai]p'"):
        load_encoder("clp")


def test_an_encoder_without_a_choice_of_models_takes_none():
    for name in OWN:
        if not find_encoder(name).models:
            with pytest.raises(SpikeMbaError, match=f"{name} has no choice of models, .* write {name}$"):
                load_encoder(f"{name}:large")


def test_several_are_loaded_in_their_order_each_with_its_weights(random_mini, packages):
    packages("toys", {"toy": "toys:ENTRY"}, TOY)
    toy, mini = load_encoders("toy+mini", EncoderOptions(device="cpu"), {"mini": random_mini, "toy": random_mini})
    assert (toy.name, toy.dim, mini.name, mini.dim) == ("toy", 3, "mini", 12)


def test_one_of_another_package_stands_beside_ours(packages):
    packages("toys", {"toy": "toys:ENTRY"}, TOY)
    assert encoder_names() == [*OWN, "toy"]
    assert brought_by("toy") == "toys"
    assert find_encoder("toy").what == "mean colour"
    assert load_encoder("toy").name == "toy"


PROBLEMS = {
    "raise OSError('libtoy.so: undefined symbol')": r"cannot be imported \(OSError: libtoy.so: undefined symbol\)",
    "import no_such_library": r"cannot be imported \(ModuleNotFoundError: No module named 'no_such_library'\)",
    "": r"cannot be imported \(AttributeError: module 'toys' has no attribute 'ENTRY'\)",
    "ENTRY = 3": "is int; expected an EncoderEntry",
    TOY.replace('name="toy"', 'name="other"'): "calls itself 'other'; expected the same name in both places",
}


@pytest.mark.parametrize("body", PROBLEMS)
def test_a_broken_one_is_named_with_its_package_and_breaks_no_other(packages, body):
    packages("toys", {"toy": "toys:ENTRY"}, body, "1.2")
    packages("sound_toys", {"sound": "sound_toys:ENTRY"}, TOY.replace('name="toy"', 'name="sound"'))
    with pytest.raises(LibraryBroken) as caught:
        load_encoder("toy")
    cure = "run `pip install --upgrade toys`, or `pip uninstall toys` to do without it"
    assert str(caught.value).startswith("the encoder 'toy' of toys 1.2 (toys:ENTRY) ")
    assert str(caught.value).endswith(f"; {cure}")
    assert re.search(PROBLEMS[body], str(caught.value))
    assert load_encoder("sound").name == "sound"
    assert load_encoder("mini").name == "mini"


def test_one_that_loads_no_encoder_is_named(packages):
    packages("toys", {"toy": "toys:ENTRY"}, TOY.replace("return Toy(name)", "return 3"))
    with pytest.raises(LibraryBroken, match=r"'toy' of toys 1.0 \(toys:ENTRY\) loads int, which lacks attributes of"):
        load_encoder("toy")


def test_a_name_that_cannot_be_typed_is_refused(packages):
    packages("toys", {"to+y": "toys:ENTRY"}, TOY)
    with pytest.raises(LibraryBroken, match=r"'to\+y' of toys .* has a name that cannot be typed"):
        find_encoder("to+y")


@pytest.mark.parametrize(("name", "other"), [("clip", "spikemba (spikemba.encoders.clip_model:ENTRY)"), ("toy", "")])
def test_a_name_that_two_claim_is_refused_with_both_and_the_others_go_on(packages, name, other):
    packages("toys", {name: "toys:ENTRY"}, TOY)
    if not other:
        packages("more_toys", {name: "more_toys:ENTRY"}, TOY, "2.0")
    with pytest.raises(SpikeMbaError) as caught:
        load_encoder(name)
    assert str(caught.value).startswith(f"2 encoders are called {name!r}: those of ")
    for part in (other or "more_toys 2.0 (more_toys:ENTRY)", "toys 1.0 (toys:ENTRY)", "`pip uninstall "):
        assert part in str(caught.value)
    assert encoder_names().count(name) == 1
    assert load_encoder("mini").name == "mini"


def test_weights_of_a_name_that_no_encoder_has_are_refused(tmp_path):
    command = ["extract", str(tmp_path), "--encoder", "mini", "--weights", f"mni={tmp_path}"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "no encoder is called 'mni'" in done.output


def test_doctor_tells_which_package_brings_a_broken_one_and_has_a_line_for_each(tmp_path):
    put_encoders(tmp_path, "toys", {"toy": "toys:ENTRY", "mini": "toys:ENTRY"}, TOY)
    put_encoders(tmp_path, "bad_toys", {"bad": "bad_toys:ENTRY"}, "import os; os.abort()")
    uneven = TOY.replace('name="toy"', 'name="uneven"').replace("frames.mean", "frames.meen")
    put_encoders(tmp_path, "uneven_toys", {"uneven": "uneven_toys:ENTRY"}, uneven, "0.9")
    only = [part for name in ("toy", "mini", "bad", "uneven") for part in ("--only", f"encoder {name}")]
    done = spikemba(tmp_path, "doctor", *only)
    assert done.returncode == 1, done.stderr
    toy, mini, bad, uneven = (line.split("\t") for line in done.stdout.splitlines()[1:])
    assert toy == ["encoder toy", "ok", "a clip of 1 frames to (1, 3)"]
    assert mini[1:] == [
        "fault",
        "2 encoders are called 'mini': those of spikemba (spikemba.encoders.mini:ENTRY) and toys 1.0 (toys:ENTRY); "
        "keep one, as with `pip uninstall toys`",
    ]
    assert bad[2].startswith("bad_toys 1.0: killed its process by SIGABRT")
    assert uneven[2].startswith("uneven_toys 0.9: AttributeError: ")
    assert uneven[2].endswith("run `pip install --force-reinstall uneven_toys`")


@pytest.mark.parametrize("device", ["quantum", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_by_encoders_without_a_network_too(device):
    expected = "cannot be used here" if device == "cuda:99" else "expected auto, cpu, cuda"
    with pytest.raises(SpikeMbaError, match=f"device.* '{device}'.*{expected}"):
        load_encoder("mini", EncoderOptions(device=device))
