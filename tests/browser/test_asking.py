"""A sentence is asked and answered on the page as `spikemba ground` answers it."""

import re
import time

from playwright.sync_api import expect

import spikemba
from browser.footage import EXAMPLE
from browser.screen import ABSENT, ASKED, Screen


def test_the_example_is_answered_as_readme_shows(visit, served, record_property):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask("a blue square enters")  # the server is warm now
    expect(screen.answers.get_by_text(re.compile("no such moment|shown at all"))).to_be_visible()
    started = time.perf_counter()
    screen.ask(ASKED)
    expect(screen.answers.get_by_text("00:22.0")).to_be_visible()
    record_property("first_answer_s", round(time.perf_counter() - started, 3))
    assert screen.best() == (22.0, 26.0)
    shown = [screen.span(screen.marked(rank).first) for rank in (1, 2, 3, 4, 5)]
    found = spikemba.load("mini").ground(EXAMPLE, ASKED, top=5)
    assert shown == [(one.start_s, one.end_s) for one in found.moments]


def test_what_the_video_does_not_show_is_said_with_how_sure_that_is(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask(ABSENT)
    expect(screen.answers.get_by_text("no such moment (0.01)")).to_be_visible()
    expect(screen.marked()).to_have_count(0)
    screen.answers.get_by_role("button", name="Show them anyway").click()
    expect(screen.marked(5)).to_be_visible()


def test_sentences_asked_before_are_offered_again_after_a_reload(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    for sentence in (ABSENT, ASKED):
        screen.ask(sentence)
        expect(screen.answers.get_by_text(sentence)).to_be_visible()
    screen.page.reload()
    screen.page.get_by_role("button", name="Sentences asked before").click()
    panel = screen.page.get_by_role("group", name="Sentences asked before")
    expect(panel.get_by_role("listitem")).to_have_text([ASKED, ABSENT])
    panel.get_by_role("button", name=ABSENT, exact=True).click()
    expect(screen.answers.get_by_text("no such moment")).to_be_visible()
    screen.sentence.focus()
    screen.page.keyboard.press("ArrowUp")
    screen.page.keyboard.press("ArrowUp")
    expect(screen.sentence).to_have_value(ASKED)


def test_back_goes_back_to_the_question_before(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
    screen.ask(ABSENT)
    expect(screen.answers.get_by_text("no such moment")).to_be_visible()
    screen.page.go_back()
    assert screen.best() == (22.0, 26.0)
    expect(screen.sentence).to_have_value(ASKED)


def test_two_checkpoints_answer_on_one_axis(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.choose_checkpoints("mini", "twin")
    screen.ask(ASKED)
    expect(screen.marked()).to_have_count(2)
    assert {screen.span(one) for one in screen.marked().all()} == {(22.0, 26.0)}
    # told to keep less that overlaps, the twin has another second answer
    seconds = [screen.span(one) for one in screen.marked(2).all()]
    assert seconds[0] == (20.0, 24.0)
    assert seconds[1] != seconds[0]


def test_each_word_says_what_it_contributes(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask(ASKED)
    screen.marked().first.click()
    for word in ASKED.split():
        expect(screen.words.get_by_text(word, exact=True).first).to_be_visible()


def test_true_windows_stand_above_the_answers(visit, served):
    screen = Screen(visit(served))
    screen.open("more/shapes_plain_000041.mp4")
    screen.ask("a cross trembles")
    true = screen.axis.get_by_role("button", name=re.compile("^true window "))
    expect(true).to_have_count(1)
    assert screen.span(true) == (16.0, 34.0)
