"""The page's time axis and clocks: where a time stands, which clips a column of pixels holds, how times are read."""

import json

import pytest
from page_modules import evaluated

VIEW = "axis/view.js"


@pytest.mark.parametrize(
    ("seconds", "digits", "read"),
    [
        (0, 1, "00:00.0"),
        (21.34, 1, "00:21.3"),
        (59.96, 1, "01:00.0"),
        (3599.99, 1, "1:00:00.0"),
        (7200, 0, "2:00:00"),
        (81.3456, 3, "01:21.346"),
        (-4, 1, "00:00.0"),
    ],
)
def test_a_clock_carries_into_minutes_and_hours(seconds, digits, read):
    assert evaluated(f"m.clock({seconds}, {digits})", "times.js") == read


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("93.5", 93.5), ("1:02:03.4", 3723.4), ("62:03", 3723), ("", None), ("1:", None), ("1:2:3:4", None), ("-1", None)],
)
def test_a_typed_time_is_read_or_refused(text, seconds):
    assert evaluated(f"m.parsed({json.dumps(text)})", "times.js") == pytest.approx(seconds)


@pytest.mark.parametrize(("seconds", "said"), [(81.3, "1 minute 21.3 seconds"), (7201, "2 hours 1 second")])
def test_a_time_is_spoken_without_empty_parts(seconds, said):
    assert evaluated(f"m.spoken({seconds})", "times.js") == said


def test_zooming_keeps_the_time_under_the_pointer_where_it_is():
    view = "new m.View(7200, 1000).zoomed(0.1, 1800)"
    assert evaluated(f"[{view}.x(1800), {view}.to - {view}.from]", VIEW) == pytest.approx([250, 720])


@pytest.mark.parametrize(("start", "end"), [(-50, 50), (7150, 7250), (-100, 9000)])
def test_a_view_stays_inside_the_video(start, end):
    first, last = evaluated(f"(v => [v.from, v.to])(new m.View(7200, 1000).at({start}, {end}))", VIEW)
    assert first >= 0
    assert last <= 7200
    assert last - first == pytest.approx(min(7200, end - start))


def test_a_view_never_shows_less_than_a_second_nor_more_than_the_video():
    lengths = "[0.0001, 1000].map(f => new m.View(60, 500).zoomed(f)).map(v => v.to - v.from)"
    assert evaluated(lengths, VIEW) == pytest.approx([1, 60])


def test_a_column_shows_the_largest_of_its_clips():
    """3,600 clips of 2 s in 100 columns: each holds 36, so one spike among them is still seen."""
    values = "Array.from({length: 3600}, (_, i) => i === 1000 ? 1 : 0)"
    found = evaluated(f"[...m.columns(new m.View(7200, 100), {values}, 2)]", VIEW)
    assert [i for i, value in enumerate(found) if value] == [1000 // 36]


def test_columns_behind_the_last_clip_are_empty():
    found = evaluated("[...m.columns(new m.View(10, 10), [0.5, 0.25], 2)].map(x => Number.isNaN(x) ? null : x)", VIEW)
    assert found == [0.5, 0.5, 0.25, 0.25, *[None] * 6]


def test_windows_that_meet_stand_in_rows_and_the_best_stands_highest():
    windows = [(22, 26), (20, 24), (24, 28), (18, 22), (26, 30)]
    given = json.dumps([{"start_s": start, "end_s": end} for start, end in windows])
    assert evaluated(f"m.packed({given})", VIEW) == [0, 1, 1, 0, 0]


def test_short_windows_take_the_room_that_they_are_drawn_in():
    given = json.dumps([{"start_s": 10, "end_s": 11}, {"start_s": 12, "end_s": 13}])
    assert evaluated(f"[m.packed({given}), m.packed({given}, 5)]", VIEW) == [[0, 0], [0, 1]]


def test_ticks_are_round_and_not_too_close():
    step, first, n = evaluated("(t => [t.step, t.times[0], t.times.length])(new m.View(7200, 900).ticks(76))", VIEW)
    assert (step, first, n) == (900, 0, 9)


def test_a_store_tells_who_watches_what_changed_and_once():
    script = (
        "(() => { const s = m.createStore({a: 1, b: 1}), told = [];"
        "s.watch(['a'], v => told.push(['a', v.a])); s.watchPart(['b'], v => [v.b % 2], v => told.push(['b', v.b]));"
        "s.set({a: 1}); s.set({a: 2, b: 3}); s.set({b: 4}); return told })()"
    )
    assert evaluated(script, "store.js") == [["a", 1], ["b", 1], ["a", 2], ["b", 4]]
