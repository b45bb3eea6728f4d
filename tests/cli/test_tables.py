"""Tables on a terminal: nothing is cut, however narrow it is."""

import io

import pytest
from rich.console import Console

from spikemba_cli import console
from spikemba_cli.tables import table

LONG = "runs/qvhighlights/a_folder_with_a_name/that_nobody_would_type/seed0"
ADDRESS = "https://huggingface.co/OpenGVLab/VideoMamba/resolve/main/videomamba_m16_k400_mask_pt_f8_res224.pth"
RUNS = ["run", "data", "epochs", "best"], [[LONG, "shapes", "3/20", "12.50"], ["runs/b", "charades_sta", "20/20", ""]]
DOCTOR = ["what", "state", "detail"], [["clip weights", "absent", f"not here; the first use fetches {ADDRESS}"]]


def drawn(columns, rows, width):
    shown = io.StringIO()
    Console(file=shown, width=width, soft_wrap=True, force_terminal=False).print(
        table("", columns, rows, [""] * len(rows), width)
    )
    return shown.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize(("columns", "rows"), [RUNS, DOCTOR])
def test_every_cell_is_there_to_its_last_sign(columns, rows, width):
    shown = drawn(columns, rows, width)
    assert "…" not in shown
    if "│" in shown:
        assert max(map(len, shown.splitlines())) <= width
        inside = [[part.strip() for part in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
        whole = "".join("".join(cells[i] for cells in inside) for i in range(len(columns)))
    else:
        whole = shown
    for row in rows:
        for cell in row:
            assert cell.replace(" ", "") in whole.replace(" ", "")


def test_names_stay_in_one_piece_at_eighty_columns():
    assert LONG in drawn(*RUNS, 80)


def test_sentences_break_between_words_beside_names_that_do_not():
    shown = drawn(["what", "detail"], [["clip weights", "word " * 30]], 60)
    assert "clip weights" in shown
    assert shown.count("│ ") > 2
    assert "wor\n" not in shown


def test_numbers_stand_right_and_text_left():
    shown = drawn(["name", "kind", "n", "share"], [["a", "long kind", "5", "3.1 %"], ["b", "x", "1,234", "10.0 %"]], 80)
    cells = [line.split("│")[1:-1] for line in shown.splitlines() if "│" in line]
    assert [of_row[1] for of_row in cells] == [" long kind ", " x         "]
    assert [of_row[2] for of_row in cells] == ["     5 ", " 1,234 "]
    assert [of_row[3] for of_row in cells] == ["  3.1 % ", " 10.0 % "]


def test_in_a_pipe_a_table_is_a_line_per_row_with_tabs(capsys):
    console.print_table("", *DOCTOR)
    assert capsys.readouterr().out.splitlines() == ["what\tstate\tdetail", "\t".join(DOCTOR[1][0])]
