"""`make mutants` takes too long for every run; that its faults can be planted is known at once."""

import mutants
import pytest


@pytest.mark.parametrize("fault", mutants.FAULTS, ids=lambda fault: fault.name)
def test_a_known_fault_has_its_place_and_its_test(fault):
    assert (mutants.ROOT / fault.file).read_text("utf-8").count(fault.right) == 1
    assert (mutants.ROOT / "tests" / fault.tests.partition("::")[0].split()[0]).exists()
