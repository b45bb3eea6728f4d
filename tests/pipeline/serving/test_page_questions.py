"""Which question the page shows, which it keeps, what the address says. Run by node."""

import json

import pytest
from page_modules import MODULES, evaluated


def question(key, video="v", **other):
    """A question of the page's state; video None: about all."""
    scope, videos = ("all", None) if video is None else ("video", [video])
    return {
        "key": key,
        "query": "a dog",
        "scope": scope,
        "videos": videos,
        "state": "done",
        "checkpoints": ["mini"],
        "answers": [],
        "top": 5,
        "min_exists": None,
        "show_all": False,
        "news": False,
    } | other


def search(key, query="a dog", **other):
    """A question to the library."""
    found = {"scope": "library", "videos": None, "top": 10, "like": None, "picture": None, "only": ""}
    return question(key, None) | found | {"query": query} | other


def asked(call, *given):
    """What a function of asked.js returns."""
    return evaluated(f"m.{call}({', '.join(json.dumps(one) for one in given)})", "asked.js")


@pytest.mark.parametrize(
    ("shown", "video", "key"),
    [
        (1, "v", 1),  # its own question
        (2, "v", 1),
        (1, "w", 2),
        (1, "x", None),  # nobody asked about that one
        (None, "w", 2),
    ],
)
def test_a_video_is_shown_with_the_question_about_it(shown, video, key):
    state = {"questions": [question(1, "v"), question(2, "w")], "asked": shown}
    assert asked("keyFor", state, video) == key


def test_a_question_about_all_videos_stays_when_one_of_them_is_opened():
    state = {"questions": [question(1, None), question(2, "v")], "asked": 1}
    assert asked("keyFor", state, "v") == 1
    assert asked("keyFor", state | {"asked": 2}, "w") == 1


def test_a_question_takes_the_place_of_the_one_about_the_same():
    before = [question(1, "v"), question(2, "w"), question(3, None)]
    for new, former in ((question(4, "v"), 1), (question(4, "w"), 2), (question(4, None), 3), (question(4, "x"), None)):
        found = asked("withNew", before, new)
        assert (found["former"] or {}).get("key") == former
        assert [one["key"] for one in found["questions"]] == [k for k in (1, 2, 3) if k != former] + [4]


def test_what_runs_is_never_forgotten():
    before = [question(k, f"v{k}", state="working" if k < 5 else "done") for k in range(30)]
    kept = [one["key"] for one in asked("withNew", before, question(99, "new"))["questions"]]
    assert kept == [0, 1, 2, 3, 4, *range(10, 30), 99]


def test_others_are_those_that_run_or_have_news():
    all_of_them = [question(1, "a", state="working"), question(2, "b"), question(3, "c", news=True)]
    assert [one["key"] for one in asked("unseen", {"questions": all_of_them, "asked": None})] == [1, 3]
    assert [one["key"] for one in asked("unseen", {"questions": all_of_them, "asked": 1})] == [3]


def test_what_follows_from_the_state_never_lags_behind_it():
    answer = {"video_id": "v", "checkpoint": "mini"}
    state = {"questions": [question(1, answers=[answer])], "asked": 1, "video": "v", "answers": [], "question": None}
    seen = """(() => { const seen = [];
      const store = createStore(state, shownOf);
      store.watch(["asked", "answers"], (now) => seen.push([now.question?.key ?? null, now.answers.length]));
      store.set({ asked: null });
      store.set({ asked: 1, video: "w" });
      return seen; })()"""
    store = json.dumps((MODULES / "store.js").as_uri())
    names = f"const {{ shownOf }} = m; const state = {json.dumps(state)};"
    code = f"await import({store}).then(({{ createStore }}) => {{ {names} return {seen}; }})"
    assert evaluated(code, "asked.js") == [[1, 1], [None, 0], [1, 0]]


def test_an_address_says_how_it_was_asked():
    shown = question(1, "v", top=3, min_exists=0.25, show_all=True, checkpoints=["a", "b"], checkpoints_asked=True)
    given = json.dumps({"video": "v", "question": shown})
    assert evaluated(f"m.readPlace(m.placeOf({given}))", "place.js") == {
        "video": "v",
        "query": "a dog",
        "scope": "video",
        "top": 3,
        "min_exists": 0.25,
        "show_all": True,
        "checkpoints": ["a", "b"],
        "only": "",
        "like": None,
    }


@pytest.mark.parametrize("search", ["?top=x&least=2&show=1", "?top=-1&least=-0.1", "?least=", ""])
def test_what_an_address_says_wrongly_is_as_usual(search):
    found = evaluated(f"m.readPlace({json.dumps(search)})", "place.js")
    assert (found["top"], found["min_exists"], found["show_all"]) == (None, None, False)


def test_a_place_that_names_no_question_names_no_answer_of_another_video():
    given = json.dumps({"video": "w", "question": question(1, "v")})
    assert evaluated(f"m.placeOf({given})", "place.js") == "?video=w"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"state": "waiting", "place": 2}, "waits behind 2"),
        ({"state": "working", "reading": {"done": 1, "total": 8}, "n_total": 1}, "read to 12 %"),
        ({"state": "working", "reading": None, "n_done": 3, "n_total": 9}, "3 of 9"),
        ({"state": "done"}, "answered"),
    ],
)
def test_how_far_another_question_is_takes_few_words(state, said):
    assert evaluated(f"m.howFar({json.dumps(state)})", "other_questions.js") == said


PART = {"video": "v-1", "start_s": 2, "end_s": 4.5}
PLACE = {"query": "a dog", "scope": "library", "top": None, "min_exists": None, "show_all": False, "checkpoints": []}


def test_the_library_has_several_questions_at_once_each_asked_once():
    first, other, again = search(1), search(2, "a cat"), search(3, state="waiting")
    found = asked("withNew", [first, question(4, "v")], other)
    assert ([one["key"] for one in found["questions"]], found["former"]) == ([1, 4, 2], None)
    found = asked("withNew", [first, other], again)
    assert ([one["key"] for one in found["questions"]], found["former"]["key"]) == ([2, 3], 1)
    narrower = search(5, only="holiday")
    assert asked("withNew", [first], narrower)["former"] is None


def test_a_question_to_the_library_stays_while_videos_are_opened():
    state = {"questions": [question(1, "v"), search(2)], "asked": 2}
    assert asked("keyFor", state, "v") == 2


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ({"like": None, "only": ""}, 1),
        ({"like": None, "only": "holiday"}, 2),
        ({"query": None, "like": PART, "only": ""}, 3),
        ({"query": None, "like": PART | {"end_s": 5}, "only": ""}, None),
    ],
)
def test_an_address_finds_the_question_to_the_library_that_it_means(place, key):
    questions = [search(1), search(2, only="holiday"), search(3, "", like=PART)]
    found = asked("askedSo", questions, PLACE | place, "v")
    assert (found or {}).get("key") == key


@pytest.mark.parametrize("one", [search(1, only="my holiday"), search(1, "", like=PART), search(1, "一 & #", top=30)])
def test_the_address_holds_sentence_part_and_filter(one):
    state = json.dumps({"video": "w", "question": one})
    read = evaluated(f"m.readPlace(m.placeOf({state}))", "place.js")
    assert (read["query"] or "", read["like"], read["only"], read["scope"]) == (
        one["query"],
        one["like"],
        one["only"],
        "library",
    )
    assert (read["top"] or 10) == one["top"]


def test_the_address_does_not_hold_a_picture():
    assert evaluated(
        f"m.placeOf({json.dumps({'video': 'w', 'question': search(1, '', picture='/9j/')})})", "place.js"
    ) == ("?video=w")
