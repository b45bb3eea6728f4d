"""`spikemba` offers its public names lazily."""

import subprocess
import sys

import pytest

import spikemba


def test_every_public_name_can_be_loaded():
    assert all(getattr(spikemba, name) is not None for name in spikemba.__all__)
    assert sorted(spikemba._MODULES) == spikemba.__all__
    assert set(spikemba.__all__) <= set(dir(spikemba))


def test_the_front_door_is_public():
    assert {"load", "Grounder", "Grounding", "Moment", "SpikeMbaError"} <= set(spikemba.__all__)
    assert spikemba.load.__module__ == spikemba.Grounder.__module__ == "spikemba.grounder.grounder"


def test_the_network_and_the_one_of_the_hub_have_a_name_each():
    assert not hasattr(spikemba.SpikeMba, "from_pretrained")
    assert issubclass(spikemba.PretrainedSpikeMba, spikemba.SpikeMba)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Spikemba'"):
        spikemba.Spikemba  # noqa: B018


@pytest.mark.parametrize("name", ["SpikeMba", "Batch", "load_checkpoint", "load"])
def test_torch_is_loaded_with_the_first_name_that_needs_it(name):
    code = f"import sys, spikemba; assert 'torch' not in sys.modules; spikemba.{name}; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
