"""Every video belongs to one process, whatever started them; where that cannot be told, nothing starts."""

import itertools
import random

import pytest
from typer.testing import CliRunner

from pipelines.shards import Shard, launched_shard, parse_shard, torchrun_part
from spikemba.errors import SpikeMbaError
from spikemba_cli.main import app

BATCH = 4294967291
"""What SLURM calls the step of a batch script."""


def allocation(tasks):
    """The variables of a batch script: it is one process, however many tasks were asked for."""
    return {"SLURM_JOB_ID": "7", "SLURM_NTASKS": str(tasks), "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


def srun(tasks, allocated=None):
    """The processes of `srun -n tasks`."""
    shared = {**allocation(allocated or tasks), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(tasks)}
    return [{**shared, "SLURM_NTASKS": str(tasks), "SLURM_PROCID": str(i)} for i in range(tasks)]


def array(first, last, step):
    """The tasks of `--array=first-last:step`."""
    ids = range(first, last + 1, step)
    shared = {"COUNT": len(ids), "MIN": first, "MAX": max(ids), "STEP": step}
    texts = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in shared.items()}
    return [{**texts, "SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_JOB_ID": "6"} for i in ids]


def torchrun(processes, machines=1):
    """The processes of all agents; `processes` of each machine."""
    world = processes * machines
    shared = {"WORLD_SIZE": str(world), "GROUP_WORLD_SIZE": str(machines), "LOCAL_WORLD_SIZE": str(processes)}
    return [{**shared, "RANK": str(i), "LOCAL_RANK": str(i % processes)} for i in range(world)]


def nested(*levels):
    """Each process of a level starts those of the next; what is inside overrides what is outside."""
    return [{name: value for one in chosen for name, value in one.items()} for chosen in itertools.product(*levels)]


def spanning(processes, machines):
    """A torchrun that has one agent in each task of a step."""
    found = torchrun(processes, machines)
    return [{**srun(machines)[i // processes], **one} for i, one in enumerate(found)]


RECIPES = {
    "nothing": [{}],
    "torchrun": torchrun(3),
    "srun": srun(4),
    "srun of fewer tasks than the allocation has": srun(2, allocated=8),
    "one process in an allocation of four": [allocation(4)],
    "a batch script that says that it is a step": [{**allocation(4), "SLURM_STEP_ID": str(BATCH)}],
    "an interactive shell": [{**allocation(4), "SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}],
    "srun -n1 in an allocation of four": srun(1, allocated=4),
    "an array": array(0, 7, 1),
    "an array from 1": array(1, 4, 1),
    "an array in steps": array(1, 7, 2),
    "an array in steps that do not end on its limit": array(1, 8, 3),
    "an array of one task": array(5, 5, 1),
    "two tasks of an array again": array(3, 7, 4),
    "an array with srun": nested(array(1, 4, 1), srun(1)),
    "an array of allocations of several tasks, without srun": nested(array(1, 4, 1), [allocation(8)]),
    "an array of steps of several tasks": nested(array(2, 10, 4), srun(3)),
    "an array of torchruns": nested(array(0, 2, 1), torchrun(2)),
    "a torchrun over the tasks of a step": spanning(2, 3),
    "a torchrun in each task of a step": nested(srun(3), torchrun(2)),
    "an array of both": nested(array(0, 4, 2), srun(2), torchrun(2)),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_processes_of_every_recipe_do_each_video_once(recipe):
    names = [f"video {i}" for i in range(50)]
    done = [name for one in RECIPES[recipe] for name in names if launched_shard(one).owns(name)]
    assert sorted(done) == sorted(names)


def test_any_list_is_done_once_by_any_scheduler():
    draw = random.Random(0)
    for _ in range(300):
        levels = [
            array(first := draw.randrange(50), first + draw.randrange(30), draw.randint(1, 7)),
            draw.choice([srun(draw.randint(1, 4)), [allocation(draw.randint(1, 9))], [{}]]),
            draw.choice([torchrun(draw.randint(1, 3)), [{}]]),
        ]
        processes = nested(*levels[draw.randrange(3) :])
        names = {draw.choice(["clip", "ü", "a/b ", ""]) + str(draw.random()) for _ in range(draw.randrange(40))}
        done = [name for one in processes for name in names if launched_shard(one).owns(name)]
        assert sorted(done) == sorted(names), levels


REFUSED = {
    "a list of tasks": nested(
        [{**array(1, 31, 1)[0], "SLURM_ARRAY_TASK_COUNT": "5"}],
        [{"SLURM_ARRAY_TASK_ID": str(i)} for i in (1, 2, 9, 22, 31)],
    ),
    "two tasks again, of an array that SLURM counts by ones": [
        {**array(3, 7, 1)[i], "SLURM_ARRAY_TASK_COUNT": "2"} for i in (0, 4)
    ],
    "an array that does not say how many": [{"SLURM_ARRAY_TASK_ID": "1"}],
    "a task outside of its array": [{**array(1, 4, 1)[0], "SLURM_ARRAY_TASK_ID": "5"}],
    "a task between those of its array": [{**array(1, 7, 2)[0], "SLURM_ARRAY_TASK_ID": "2"}],
    "a task that srun did not start": [{**srun(2)[1], "SLURM_PROCID": "2"}],
    "a torchrun over some of the machines": nested(srun(4)[:1], torchrun(2, 2)),
}


@pytest.mark.parametrize("recipe", REFUSED)
def test_where_the_part_cannot_be_told_the_answer_is_the_option(recipe):
    for one in REFUSED[recipe]:
        with pytest.raises(SpikeMbaError, match="Give --shard i/n"):
            launched_shard(one)


def test_a_few_variables_are_enough():
    assert launched_shard({}) == Shard(0, 1)
    assert launched_shard({"RANK": "3", "WORLD_SIZE": "4"}) == Shard(3, 4)
    of_one = {"RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "2", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}
    assert launched_shard(of_one) == Shard(2, 4)
    assert launched_shard({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}) == Shard(1, 2)
    names = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "3"}
    assert launched_shard(names) == Shard(2, 4)


def test_an_array_whose_step_is_not_told_is_counted():
    tasks = [{k: v for k, v in one.items() if not k.endswith("STEP")} for one in array(1, 7, 2)]
    assert [launched_shard(one) for one in tasks] == [Shard(i, 4) for i in range(4)]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"RANK": "3", "WORLD_SIZE": "2"}, "RANK is 3 and WORLD_SIZE is 2; expected 0 <= RANK < WORLD_SIZE"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK is -1"),
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK is 'first'; expected a whole number, or `unset RANK`"),
        ({"RANK": "0", "WORLD_SIZE": "²"}, "WORLD_SIZE is '²'"),
    ],
)
def test_variables_left_in_a_shell_are_named(left, said, monkeypatch):
    with pytest.raises(SpikeMbaError, match=said):
        launched_shard(left)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    for command in (["extract", "x.mp4", "--encoder", "mini"], ["train", "--dataset", "shapes"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert said.split(";")[0] in " ".join(result.stderr.split())


def test_half_of_the_variables_or_empty_ones_mean_nothing():
    assert torchrun_part({"RANK": "3"}) is None
    assert torchrun_part({"RANK": "", "WORLD_SIZE": ""}) is None
    assert launched_shard({"SLURM_ARRAY_TASK_ID": "", "SLURM_PROCID": ""}) == Shard()


def test_shards_are_named():
    assert parse_shard("2/8") == Shard(1, 8)
    for text in ("0/2", "3/2", "2", "a/b", "1/0", "²/3", "-1/2", "1/" + "9" * 5000):
        with pytest.raises(SpikeMbaError, match="of the form i/n"):
            parse_shard(text)
