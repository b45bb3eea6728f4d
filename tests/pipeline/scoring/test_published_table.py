import pytest

from pipelines.scoring.published_table import published, render, results_table
from spikemba.datasets.published import published_table
from spikemba.datasets.registry import benchmark_names


def test_every_benchmark_has_published_rows_with_a_source():
    assert set(published()) == set(benchmark_names())
    for table in published().values():
        assert table.test
        for row in (*table.test, *table.val):
            assert row.source
            assert all(value is None or 0 < value < 100 for value in row.values)


@pytest.mark.parametrize("benchmark", ["tvsum", "youtube_highlights"])
def test_published_means_are_the_means_of_their_domains(benchmark):
    whole = [row for row in published()[benchmark].test if None not in row.values]
    assert whole
    for row in whole:
        *domains, mean = row.values
        assert sum(domains) / len(domains) == pytest.approx(mean, abs=0.01), row.method


def test_a_published_row_has_a_value_for_every_column():
    table = published_table("a b", test="one | 1 ~ | page 3\n\n  two | 3.5 4 | page 4")
    assert [(row.method, row.values, row.source) for row in table.test] == [
        ("one", (1, None), "page 3"),
        ("two", (3.5, 4), "page 4"),
    ]
    with pytest.raises(ValueError, match="one has 1 values for 2 columns"):
        published_table("a b", test="one | 1 | page 3")


def test_ours_come_first_and_what_was_not_measured_is_left_empty():
    table = results_table("charades_sta", "test", {"MR-full-R1@0.5": 12.3}, "mine", {"MR-full-R1@0.5": 0.4})
    assert table.iloc[0].tolist() == ["mine", "", "12.30 ± 0.40", "", "", "this run"]
    assert list(table.columns) == ["method", "R1@0.3", "R1@0.5", "R1@0.7", "mIoU", "source"]
    markdown = render(table, "markdown").splitlines()
    assert markdown[1] == "|---|---:|---:|---:|---:|---|"
    assert {line.count("|") for line in markdown} == {7}
