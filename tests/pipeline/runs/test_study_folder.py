import json

import numpy as np
import pytest

from pipelines.runs.study_folder import Study, StudyRun, mean_and_spread, read_study, seeds_document, write_study
from spikemba.errors import CheckpointError


def run(seed, domain, value):
    folder = f"seed{seed}/{domain}"
    return StudyRun(folder=folder, seed=seed, domain=domain, val={"mAP": value, f"mAP-{domain}": value})


STUDY = Study(benchmark="tvsum", runs=(run(0, "BK", 40), run(0, "PK", 60), run(1, "BK", 50), run(1, "PK", 80)))


def test_domains_are_averaged_within_a_seed_and_seeds_give_the_spread():
    summary = STUDY.summary()
    assert set(summary) == {"val"}
    assert summary["val"]["mAP"] == {"mean": 57.5, "std": pytest.approx(np.std([50, 65], ddof=1), abs=5e-4)}
    assert summary["val"]["mAP-BK"]["mean"] == 45


def test_a_study_reads_back_and_knows_its_folders(tmp_path):
    assert read_study(tmp_path) is None
    write_study(tmp_path, STUDY)
    assert read_study(tmp_path) == STUDY
    assert STUDY.by_seed(tmp_path)["seed1"] == [tmp_path / "seed1" / "BK", tmp_path / "seed1" / "PK"]
    assert json.loads((tmp_path / "study.json").read_text())["summary"]["val"]["mAP"]["mean"] == 57.5


def test_a_damaged_study_is_named(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"study.json is damaged"):
        read_study(tmp_path)


def test_one_seed_has_no_spread():
    mean, spread = mean_and_spread([{"mAP": 3.0}])
    assert (mean, spread) == ({"mAP": 3.0}, {})


def test_seeds_share_the_form_of_one_documents():
    documents = [{"mAP": 1.0, "domains": {"BK": 1.0}}, {"mAP": 3.0, "domains": {"BK": 3.0}}]
    found = seeds_document(documents, {"mAP": 2.0, "mAP-BK": 2.0}, {"mAP": 1.414})
    assert (found["mAP"], found["domains"], found["seeds"]) == (2.0, {"BK": 2.0}, documents)
    assert seeds_document([{"brief": {}}], {"x": 1.0}, {})["brief"] == {"x": 1.0}
