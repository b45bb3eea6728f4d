"""Correcting on the page: with the pointer, with keys alone and in fields; kept until saved, then everybody's."""

import json
import re

import pytest
from playwright.sync_api import expect

from browser.accessibility import nothing_serious
from browser.screen import ASKED, Screen, no_wider_than_the_window


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corrections")


@pytest.fixture(scope="module")
def corrected(serve, films, folder):
    """A server that takes corrections, into a folder that the tests look at."""
    return serve(films, options=("--corrections", str(folder)))


class Desk:
    """The correction of one sentence, as somebody sees it."""

    def __init__(self, page, sentence):
        self.page, self.screen = page, Screen(page)
        self.screen.open("shapes.mp4")
        self.ask(sentence)
        self.begin = self.screen.corrections.get_by_role("button", name="Correct", exact=True)
        expect(self.begin).to_be_visible()

    def ask(self, sentence):
        field = self.page.get_by_label("Sentence to look for")
        field.fill(sentence)
        field.press("Enter")
        field.blur()

    def slider(self, edge, n):
        return self.screen.axis.get_by_role("slider", name=f"{edge} of window {n}", exact=True)

    def field(self, edge, n):
        return self.screen.corrections.get_by_role("textbox", name=f"{edge} of window {n}", exact=True)

    def button(self, name):
        return self.screen.corrections.get_by_role("button", name=name, exact=True)

    def at(self, edge, n):
        return float(self.slider(edge, n).get_attribute("aria-valuenow"))

    def middle(self, locator):
        locator.evaluate("one => one.scrollIntoView({block: 'center'})")
        box = locator.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, locator, pixels):
        x, y = self.middle(locator)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=4)
        self.page.mouse.up()

    def save(self, name, ends=""):
        who = self.screen.corrections.get_by_role("textbox", name="Your name")
        if not who.input_value():
            who.fill(name)
        self.button("Save correction").click()
        expect(self.screen.corrections.get_by_text(f"Saved as {name}’s. {ends}".strip())).to_be_visible()


def rows(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def desk(visit, corrected):
    def sit_down(sentence):
        return Desk(visit(corrected), sentence)

    return sit_down


def test_an_edge_is_dragged_and_what_is_saved_is_a_row_and_a_true_window(desk, folder):
    at = desk(ASKED)
    at.begin.click()
    start_s, end_s = at.at("start", 1), at.at("end", 1)
    at.drag(at.slider("end", 1), 60)
    dragged_s = at.at("end", 1)
    assert dragged_s > end_s + 1
    assert at.at("start", 1) == start_s
    expect(at.button("Window 1 is right as it is")).to_have_attribute("aria-pressed", "true")
    at.button("Window 2 is wrong").click()
    wrong = [at.at("start", 2), at.at("end", 2)]
    at.save("Ana")
    (row,) = rows(folder, "Ana")
    assert (row["query"], row["vid"], row["by"], row["model"]) == (ASKED, "shapes", "Ana", "mini")
    assert (row["relevant_windows"], row["wrong_windows"]) == ([[start_s, dragged_s]], [wrong])
    expect(at.screen.axis.get_by_role("button", name=re.compile("^true window "))).to_have_count(1)
    expect(at.begin).to_be_focused()


def test_keys_alone_move_judge_and_take_back(desk, folder):
    at = desk(ASKED)
    at.page.keyboard.press("c")
    end_s = at.at("end", 1)
    at.slider("end", 1).focus()
    for key, there_s in (("ArrowRight", end_s + 0.1), ("Shift+ArrowLeft", end_s - 0.9), ("Control+z", end_s)):
        at.page.keyboard.press(key)
        expect(at.slider("end", 1)).to_have_attribute("aria-valuenow", f"{there_s:g}")
        expect(at.slider("end", 1)).to_be_focused()
    at.screen.seek(30.0)
    at.screen.is_at(30.0)
    at.page.keyboard.press("a")
    n = at.screen.corrections.get_by_role("textbox", name="End of window").count()
    assert (at.at("start", n), at.at("end", n)) == (30.0, 34.0)
    at.page.keyboard.press("ArrowRight")  # the new window has the focus
    expect(at.slider("end", n)).to_have_attribute("aria-valuenow", "34.1")
    at.page.keyboard.press("ArrowLeft")
    expect(at.slider("end", n)).to_have_attribute("aria-valuenow", "34")
    at.screen.seek(36.5)
    at.screen.is_at(36.5)
    at.page.keyboard.press("]")
    expect(at.slider("end", n)).to_have_attribute("aria-valuenow", "36.5")
    at.field("Start", n).fill("0:31.25")
    at.field("Start", n).press("Enter")
    who = at.screen.corrections.get_by_role("textbox", name="Your name")
    who.fill("李 雷")
    who.press("Enter")
    expect(at.screen.corrections.get_by_text("Saved as 李 雷’s.")).to_be_visible()
    (row,) = rows(folder, "李 雷")
    assert (row["query"], row["relevant_windows"]) == (ASKED, [[31.25, 36.5]])


def test_a_mistyped_time_is_marked_and_changes_nothing_until_it_is_mended(desk, folder):
    at = desk("a square jumps")
    at.begin.click()
    at.button("Add a moment").click()
    n = at.screen.corrections.get_by_role("textbox", name="End of window").count()
    window = [at.at("start", n), at.at("end", n)]
    assert window == [0.0, 4.0]
    start = at.field("Start", n)
    for text, why in (("99:00", "behind the end of the video"), ("banana", "is no time"), ("4", "is no start before")):
        start.fill(text)
        start.press("Tab")
        expect(start).to_have_attribute("aria-invalid", "true")
        expect(at.screen.corrections.get_by_role("alert").filter(has_text=why)).to_be_visible()
        expect(start).to_have_value(text)
        assert [at.at("start", n), at.at("end", n)] == window
    at.screen.corrections.get_by_role("textbox", name="Your name").fill("Mia")
    at.button("Save correction").click()
    expect(start).to_be_focused()
    expect(at.screen.corrections.get_by_text(f"Not saved: start of window {n} is not taken")).to_be_visible()
    nothing_serious(at.page)
    start.fill("3,5")
    start.press("Enter")
    expect(start).to_have_attribute("aria-invalid", "false")
    expect(start).to_have_value("00:03.50")
    end = at.field("End", n)
    end.fill("1")
    end.press("Enter")
    expect(end).to_have_attribute("aria-invalid", "true")
    end.press("Escape")
    expect(end).to_have_attribute("aria-invalid", "false")
    at.save("Mia")
    (row,) = rows(folder, "Mia")
    assert row["relevant_windows"] == [[3.5, window[1]]]


def test_a_window_is_drawn_on_the_empty_lane(desk):
    at = desk("a ring turns")
    at.begin.click()
    before = at.screen.corrections.get_by_role("textbox", name="Start of window").count()
    track = at.page.locator('[data-lane="correction"] .lane-track')
    _, y = at.middle(track)
    box = track.bounding_box()
    at.page.mouse.move(box["x"] + 2, y)
    at.page.mouse.down()
    at.page.mouse.move(box["x"] + 42, y, steps=4)
    at.page.mouse.up()
    expect(at.screen.corrections.get_by_role("textbox", name="Start of window")).to_have_count(before + 1)
    assert at.at("end", before + 1) - at.at("start", before + 1) == pytest.approx(40 * 60 / box["width"], abs=0.3)
    at.button("Undo").click()
    expect(at.screen.corrections.get_by_role("textbox", name="Start of window")).to_have_count(before)


def test_what_is_not_saved_is_there_after_a_reload_and_under_another_sentence(desk):
    sentence = "a cyan cross shakes"
    at = desk(sentence)
    at.begin.click()
    at.button("Add a moment").click()
    n = at.screen.corrections.get_by_role("textbox", name="End of window").count()
    at.page.reload()
    expect(at.field("End", n)).to_be_visible()
    expect(at.screen.corrections.get_by_text("Not saved yet; this browser keeps it.")).to_be_visible()
    at.ask("something else")
    expect(at.screen.corrections.get_by_text("something else")).to_be_visible()
    at.screen.corrections.get_by_role("button", name=sentence).click()
    expect(at.field("End", n)).to_be_visible()
    at.button("Discard").click()
    expect(at.screen.corrections.get_by_text("Nobody has corrected this yet.")).to_be_visible()
    assert at.page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('spikemba.draft'))") == []


def test_two_tabs_draw_the_same_correction(desk):
    sentence = "a yellow ring grows"
    one, other = desk(sentence), desk(sentence)
    one.begin.click()
    other.begin.click()
    ends = [at.screen.corrections.get_by_role("textbox", name="End of window") for at in (one, other)]
    before = ends[0].count()
    one.button("Add a moment").click()
    expect(ends[1]).to_have_count(before + 1)
    expect(other.screen.corrections.get_by_text("Drawn in another tab")).to_be_visible()
    other.button("Add a moment").click()
    expect(ends[0]).to_have_count(before + 2)
    other.button("Undo").click()
    expect(ends[0]).to_have_count(before + 1)
    other.button("Undo").click()
    one.button("Discard").click()
    expect(other.screen.corrections.get_by_text("Saved or discarded in another tab.")).to_be_visible()
    expect(other.begin).to_have_attribute("aria-pressed", "false")


def test_other_people_s_corrections_are_seen_by_name_and_can_be_begun_with(desk, folder, context):
    sentence = "a green triangle leaves"
    first = desk(sentence)
    first.begin.click()
    first.button("Not in this video").click()
    first.save("Zoe")
    assert rows(folder, "Zoe")[0]["relevant_windows"] == []
    first.page.evaluate("localStorage.clear()")
    second = desk(sentence)
    expect(second.screen.corrections.get_by_role("listitem").filter(has_text="Zoe")).to_contain_text(
        "not in this video"
    )
    second.button("Begin with this: what Zoe says").click()
    expect(second.button("Not in this video")).to_have_attribute("aria-pressed", "true")
    second.button("Add a moment").click()
    expect(second.button("Not in this video")).to_have_attribute("aria-pressed", "false")
    second.save("Yan", ends="Zoe disagrees about this.")
    expect(second.screen.corrections.get_by_text("Yan and Zoe disagree about this")).to_be_visible()
    expect(second.screen.axis.get_by_text("disputed: not in this video, says Zoe")).to_be_visible()
    expect(second.screen.axis.get_by_role("button", name=re.compile("^true window .*by Yan"))).to_have_count(1)
    nothing_serious(second.page)
    assert len(rows(folder, "Yan")[0]["relevant_windows"]) == 1
    expect(second.screen.corrections.get_by_role("listitem").filter(has_text="Yan")).to_contain_text("(you)")


def test_a_name_that_is_no_name_and_nothing_said_are_told_before_anything_is_sent(desk, folder):
    at = desk("two circles meet")
    at.begin.click()
    who = at.screen.corrections.get_by_role("textbox", name="Your name")
    who.fill("../x")
    at.button("Save correction").click()
    expect(at.screen.corrections.get_by_text("Nothing is said yet")).to_be_visible()
    at.button("Add a moment").click()
    at.button("Save correction").click()
    expect(at.screen.corrections.get_by_text("Your name: 1 to 64 letters")).to_be_visible()
    at.button("Discard").click()


def test_it_fits_a_phone_and_is_read_aloud(desk):
    at = desk("long " * 60 + "映画の中で赤い円が入ってくる")
    at.begin.click()
    at.button("Add a moment").click()
    nothing_serious(at.page)
    no_wider_than_the_window(at.page)
    nothing_serious(at.page)
