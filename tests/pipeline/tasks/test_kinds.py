"""The registry of what can be trained."""

from pathlib import Path

import pytest

from pipelines.runs.config import AnyRunConfig
from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.registry import Kind, kind, kind_of_run, kinds, load_run_config
from spikemba.errors import ConfigError, UnknownName


@pytest.mark.parametrize("name", kinds())
def test_every_kind_has_all_that_its_folder_promises(name):
    config = kind(name).config
    assert issubclass(config, AnyRunConfig)
    assert config.model_fields["task"].default == name
    assert callable(kind(name).make_task)
    assert callable(kind(name).evaluate_run)


def test_the_task_of_a_file_chooses_its_configuration(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("name: mine\n")
    assert type(load_run_config(path)) is RunConfig
    path.write_text("task: sleeping\n")
    with pytest.raises(UnknownName, match="no task is called 'sleeping'; there are: .*grounding"):
        load_run_config(path)
    with pytest.raises(ConfigError, match="task"):
        RunConfig.parse({"task": "sleeping"})


def test_a_run_says_what_kind_it_is(tmp_path: Path):
    RunDir(tmp_path).start(RunConfig(), resume=False)
    (tmp_path / "best").mkdir()
    assert kind_of_run(tmp_path) == kind_of_run(tmp_path / "best") == Kind("grounding")
    assert kind_of_run(tmp_path / "best" / "nowhere") == Kind("grounding")
