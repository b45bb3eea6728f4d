"""Exports of spreadsheets and annotation tools as people have them: the exact rows, or the exact refusal."""

import unicodedata
from datetime import time, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipelines.grounding.formats import as_csv
from spikemba.datasets.custom import read_custom
from spikemba.errors import AnnotationError, VideoError
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment, Window
from spikemba.tables.text import as_text, from_text

KITCHEN = [("k", "she cuts", (12.5, 15.0))]
"""What most of these tables say."""


def duration_of(path: Path) -> float:
    if not path.is_file():
        raise VideoError(path, "no such file; expected a video file")
    return 4000.0


@pytest.fixture
def read(tmp_path):
    (tmp_path / "k.mp4").touch()
    (tmp_path / "Küche.mp4").touch()

    def read(name, content, **how):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        data = read_custom(path, None, duration_of, **how)
        rows = [(one.video_id, one.query, *map(tuple, one.windows)) for one in data.annotations]
        return rows, data.how.partition(": ")[2]

    return read


READ = {
    "plain": (
        "a.csv",
        "video,start,end,query\nk.mp4,12.5,15,she cuts\n",
        "commas between cells; UTF-8; times in seconds",
    ),
    "windows line ends": ("a.csv", "video,start,end,query\r\nk.mp4,12.5,15,she cuts\r\n", "UTF-8"),
    "old mac line ends": ("a.csv", "video,start,end,query\rk.mp4,12.5,15,she cuts\r", "UTF-8"),
    "excel CSV UTF-8": ("a.csv", b"\xef\xbb\xbfvideo,start,end,query\r\nk.mp4,12.5,15,she cuts\r\n", "UTF-8"),
    "german excel": (
        "a.csv",
        "Video;Start;Ende;Beschreibung\r\nk.mp4;12,5;15;she cuts\r\n",
        "Ende as end; Beschreibung as query",
    ),
    "german excel, other words": (
        "a.csv",
        "Dateiname;Von;Bis;Satz\r\nk.mp4;12,50;15,00;she cuts\r\n",
        "commas before decimals",
    ),
    "french excel": ("a.csv", "Vidéo;Début;Fin;Requête\r\nk.mp4;12,5;15;she cuts\r\n", "Début as start"),
    "french excel in Windows-1252": (
        "a.csv",
        "Vidéo;Début;Fin;Requête\r\nk.mp4;12,5;15;she cuts\r\n".encode("cp1252"),
        "Windows-1252 (“Vidéo”)",
    ),
    "spanish excel": ("a.csv", "Archivo;Inicio;Fin;Descripción\r\nk.mp4;12,5;15;she cuts\r\n", "Archivo as video"),
    "italian excel": ("a.csv", "File;Inizio;Fine;Descrizione\r\nk.mp4;12,5;15;she cuts\r\n", "Fine as end"),
    "portuguese excel": ("a.csv", "Arquivo;Início;Fim;Descrição\r\nk.mp4;12,5;15;she cuts\r\n", "Fim as end"),
    "dutch excel": ("a.csv", "Bestand;Begin;Einde;Omschrijving\r\nk.mp4;12,5;15;she cuts\r\n", "Einde as end"),
    "polish excel": ("a.csv", "Plik;Początek;Koniec;Opis\r\nk.mp4;12,5;15;she cuts\r\n", "Koniec as end"),
    "swedish excel": ("a.csv", "Fil;Start;Slut;Beskrivning\r\nk.mp4;12,5;15;she cuts\r\n", "Slut as end"),
    "russian in UTF-16": (
        "a.txt",
        "Видео\tНачало\tКонец\tОписание\r\nk.mp4\t12,5\t15\tshe cuts\r\n".encode("utf-16"),
        "tabs between cells; UTF-16",
    ),
    "japanese": ("a.csv", "動画,開始,終了,説明\r\nk.mp4,12.5,15,she cuts\r\n", "開始 as start"),
    "sep line": ("a.csv", "sep=;\r\nvideo;start;end;query\r\nk.mp4;12,5;15;she cuts\r\n", "semicolons"),
    "sep line with a bar": ("a.csv", "sep=|\nvideo|start|end|query\nk.mp4|12.5|15|she cuts\n", "bars between cells"),
    "tabs": ("a.tsv", "video\tstart\tend\tquery\nk.mp4\t12.5\t15\tshe cuts\n", "tabs between cells"),
    "excel unicode text": (
        "a.txt",
        b"\xff\xfe" + "Video\tStart\tEnd\tQuery\r\nk.mp4\t12.5\t15\tshe cuts\r\n".encode("utf-16-le"),
        "UTF-16",
    ),
    "UTF-16 without a mark": ("a.csv", "video,start,end,query\nk.mp4,12.5,15,she cuts\n".encode("utf-16-le"), "UTF-16"),
    "spaced and capitalised": (
        "a.CSV",
        " Video , START , End , Query \nk.mp4 , 12.5 , 15 , she cuts\n",
        "times in seconds",
    ),
    "google sheets": (
        "a.csv",
        "File name,Start time,End time,Description\nk.mp4,00:00:12.5,00:00:15,she cuts\n",
        "Start time as start",
    ),
    "camel case": (
        "a.csv",
        "videoFile,startTime,endTime,queryText,query\nk.mp4,12.5,15,x,she cuts\n",
        "startTime as start",
    ),
    "units in titles": ("a.csv", "video,start (s),end (s),query\nk.mp4,12.5,15,she cuts\n", "times in seconds"),
    "milliseconds": ("a.csv", "video,start_ms,end_ms,query\nk.mp4,12500,15000,she cuts\n", "times in milliseconds"),
    "both seconds and frames": (
        "a.csv",
        "video,start_s,end_s,start_frame,end_frame,query\nk.mp4,12.5,15,1,2,she cuts\n",
        "start_s as start",
    ),
    "seconds with their unit": ("a.csv", "video,start,end,query\nk.mp4,12.5 s,15s,she cuts\n", "times in seconds"),
    "spoken times": ("a.csv", "video,start,end,query\nk.mp4,0m 12.5s,0h0m15s,she cuts\n", "times in seconds"),
    "quoted decimal commas": (
        "a.csv",
        'video,start,end,query\nk.mp4,"12,5","15,0",she cuts\n',
        "commas before decimals",
    ),
    "minutes and seconds": ("a.csv", "video,start,end,query\nk.mp4,0:12.5,0:15,she cuts\n", "0:12 is 12 seconds"),
    "subtitle times": ("a.tsv", "video\tstart\tend\tquery\nk\t00:00:12,500\t00:00:15,000\tshe cuts\n", "seconds"),
    "time of day of US Excel": (
        "a.csv",
        "video,start,end,query\nk.mp4,12:00:12.5 AM,12:00:15 AM,she cuts\n",
        "seconds",
    ),
    "three decimals, semicolons": (
        "a.csv",
        "video;start;end;query\nk.mp4;12,500;15,000;she cuts\n",
        "commas before decimals",
    ),
    "a title and empty lines": (
        "a.csv",
        "Notes of Tuesday,,,\n,,,\nvideo,start,end,query\nk.mp4,12.5,15,she cuts\n,,,\n,,,\n",
        "the names of the columns in line 3, and what is above left out",
    ),
    "empty columns": ("a.csv", "video,start,end,query,,\nk.mp4,12.5,15,she cuts,,\n,,,,,\n", "times in seconds"),
    "columns of no interest": ("a.csv", "id,video,who,start,end,query\n7,k.mp4,Ann,12.5,15,she cuts\n", "seconds"),
    "boris": ("a.tsv", "Media file\tBehavior\tStart (s)\tStop (s)\nk.mp4\tshe cuts\t12.5\t15\n", "Behavior as query"),
    "video ids without suffix": ("a.csv", "vid,start,end,query\nk,12.5,15,she cuts\n", "vid as video"),
    "windows paths": ("a.csv", "video,start,end,query\n.\\k.mp4,12.5,15,she cuts\n", "seconds"),
    "swiss thousands": (
        "a.csv",
        "video,start,end,query\nk.mp4,12.5,15,she cuts\nk.mp4,1'012.5,1’015,later\n",
        "seconds",
    ),
    "german thousands": (
        "a.csv",
        "video;start;end;query\nk.mp4;12,5;15;she cuts\nk.mp4;1.012,5;1.015;later\n",
        "commas before",
    ),
    "english thousands": (
        "a.csv",
        'video,start,end,query\nk.mp4,12.5,15,she cuts\nk.mp4,"1,012.5","1,015",later\n',
        "seconds",
    ),
    "french thousands": (
        "a.csv",
        "video;start;end;query\nk.mp4;12,5;15;she cuts\nk.mp4;1\u202f012,5;1\u00a0015;later\n",
        "commas before decimals",
    ),
    "pandas": (
        "a.csv",
        ",video,start,end,query\n0,k.mp4,12.5,15,she cuts\n",
        "the first column, which has no name",
    ),
    "names in capitals": ("a.csv", "video,start,end,query\nK.MP4,12.5,15,she cuts\n", "times in seconds"),
    "a list of objects": (
        "a.json",
        '[{"video": "k.mp4", "start": 12.5, "end": "0:15", "query": "she cuts"}]',
        "seconds",
    ),
    "json lines": ("a.jsonl", '{"video": "k.mp4", "start": 12.5, "end": 15, "query": "she cuts"}\n\n', "seconds"),
}


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_and_says_how(read, name):
    file, content, how = READ[name]
    rows, said = read(file, content)
    later = [("k", "later", (1012.5, 1015.0))] if "thousands" in name else []
    assert rows == [*KITCHEN, *later]
    assert how in said


FRAMES = {
    "a column of rates": ("video,start_frame,end_frame,fps,query\nk.mp4,25,50,25,x\n", None, (1.0, 2.0)),
    "a rate with a comma": ('video;start frame;end frame;fps;query\nk.mp4;30;60;"29,97";x\n', None, (1.001, 2.002)),
    "a rate as a ratio": ("video,first frame,last frame,fps,query\nk.mp4,24,48,24000/1001,x\n", None, (1.001, 2.002)),
    "german titles": ("Video;Start (Frames);Ende (Frames);Bildrate;Satz\nk.mp4;25;50;25;x\n", None, (1.0, 2.0)),
    "a setting": ("video,start,end,query\nk.mp4,25,50,x\n", 25, (1.0, 2.0)),
    "time codes": ("video,start,end,query\nk.mp4,00:00:01:12,00:00:02:00,x\n", 25, (1.48, 2.0)),
    "time codes of 23.976": ("video,in,out,query\nk.mp4,00:00:01:00,00:00:02:00,x\n", 23.976, (1.001, 2.002)),
    "drop-frame codes": ("video,in,out,query\nk.mp4,00:01:00;02,00:10:00;00,x\n", 29.97, (60.06, 599.9994)),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_become_seconds_by_their_rate(read, name):
    content, fps, window = FRAMES[name]
    (row,), said = read("a.csv", content, fps=fps)
    assert row[2] == pytest.approx(window, abs=1e-6)
    assert "frames" in said or ":" in content


TWO = "video,start,end,query\n"
REFUSED = {
    "minutes and seconds in columns of their own": (
        "a.csv",
        "video,start_min,start_sec,end_min,end_sec,query\nk.mp4,1,5,1,9,x\n",
        "line 1: 'start_min' and 'start_sec' are parts of one time, or the same time twice; write one column start",
    ),
    "hours and minutes in columns of their own": (
        "a.csv",
        "video,start hour,start min,end hour,end min,query\nk.mp4,1,5,1,9,x\n",
        "'start hour' and 'start min' are parts of one time",
    ),
    "parts of a day": (
        "a.csv",
        "video,start,end,query\nk.mp4,0.000144675925925926,0.00144675925925926,x\n",
        "start and end are parts of a day (0.000144675925925926), as spreadsheets hold times; format the columns",
    ),
    "milliseconds with a point before three digits": (
        "a.csv",
        "Video;Start (ms);Ende (ms);Satz\nk.mp4;1.500;2.500;x\n",
        "1.500 is 1500, or a part of a millisecond or frame; write it as 1500",
    ),
    "no query": ("a.csv", "video,start,end\nk.mp4,1,2\n", "line 1: no column query; found video, start, end"),
    "german, without the end": ("a.csv", "Video;Von\nk.mp4;1\n", "no column end, query; found Video, Von (semicolons"),
    "no titles": ("a.csv", "k.mp4,1,2,she cuts\n", "line 1: no column video, start, end, query; found k.mp4, 1, 2"),
    "decimal commas without quotes": ("a.csv", TWO + "k.mp4,12,5,15,0,she cuts\n", "and numbers such as 12,5"),
    "a comma in the sentence": (
        "a.csv",
        TWO + "k.mp4,1,2,she cuts, then eats\n",
        "'then eats' stands in a column without a",
    ),
    "a comma in the sentence, an empty column": (
        "a.csv",
        "video,start,end,query,\nk.mp4,1,2,a, b\n",
        "line 2: 'b' stands",
    ),
    "a quote that does not close": (
        "a.csv",
        TWO + 'k.mp4,1,2,"she cuts\nk.mp4,3,4,x\n',
        "line 2: its quotes do not close",
    ),
    "commas that part thousands or decimals": (
        "a.csv",
        TWO + 'k.mp4,"1,234","2,345",x\n',
        "line 2: 1,234 is 1.234 or 1234",
    ),
    "both decimal signs": (
        "a.csv",
        TWO + 'k.mp4,"1,5",2,x\nk.mp4,1.5,2,y\n',
        "line 2 has a decimal comma and line 3 a dec",
    ),
    "frames without a rate": (
        "a.csv",
        "video,start_frame,end_frame,query\nk.mp4,25,50,x\n",
        "add a column fps, or --fps 25",
    ),
    "whole numbers beside a rate": (
        "a.csv",
        "video,start,end,query,fps\nk.mp4,25,50,x,25\n",
        "call the columns start_frame",
    ),
    "a time code without a rate": ("a.csv", TWO + "k.mp4,00:00:01:12,2,x\n", "00:00:01:12, which counts frames"),
    "a drop-frame code that is left out": (
        "a.csv",
        "video,in,out,query,fps\nk.mp4,00:01:00;00,90,x,29.97\n",
        "drop-frame codes leave out",
    ),
    "61 seconds": ("a.csv", TWO + "k.mp4,0:61,2:00,x\n", "minutes and seconds end at 59"),
    "a date": ("a.csv", TWO + "k.mp4,01. Mai,2,x\n", "line 2: start is '01. Mai'; expected seconds"),
    "an unknown unit": ("a.csv", "video,start (fortnights),end,query\nk.mp4,1,2,x\n", "no column start"),
    "a formula": ("a.csv", TWO + "k.mp4,1,2,#NAME?\n", "query is #NAME?: a formula failed there"),
    "a sum below": ("a.csv", TWO + "k.mp4,1,2,x\nTotal,,1,\n", "line 3: has no start, query"),
    "cyrillic of Windows": (
        "a.csv",
        "видео;начало;конец;описание\nk.mp4;1;2;кот\n".encode("cp1251"),
        "save it as UTF-8",
    ),
    "letters of a Mac": ("a.csv", (TWO + "k.mp4,1,2,die Küche\n").encode("mac_roman"), "not UTF-8"),
    "two encodings in one file": (
        "a.csv",
        (TWO + "k.mp4,1,2,in der Küche\n").encode() + "k.mp4,3,4,öffnet\n".encode("cp1252"),
        "line 3: its letters are not UTF-8, and read as Windows-1252 they would be 'KÃ¼che'",
    ),
    "polish of Windows": ("a.csv", (TWO + "k.mp4,1,2,kroi chleb łyżką\n").encode("cp1250"), "not UTF-8"),
    "turkish of Windows": ("a.csv", (TWO + "k.mp4,1,2,kız keser\n").encode("cp1254"), "not UTF-8"),
    "japanese of Windows": ("a.csv", (TWO + "k.mp4,1,2,包丁で切る\n").encode("cp932"), "UTF-8"),
    "chinese of Windows": ("a.csv", (TWO + "k.mp4,1,2,她切菜\n").encode("gbk"), "UTF-8"),
    "a window that ends first": ("a.csv", TWO + "k.mp4,3,2,x\n", "start 3 and end 2 are not a window"),
    "twelve minutes for seconds": ("a.csv", TWO + "k.mp4,01:12:00,01:15:00,x\n", "if 00:12:00 stands for 12 seconds"),
    "an old workbook": ("a.xls", b"\xd0\xcf\x11\xe0", "is the old form of Excel; save it as .xlsx or export it as CSV"),
    "libreoffice": ("a.ods", b"PK", "is a sheet of LibreOffice; save it as .xlsx"),
    "no text": ("a.csv", b"PK\x03\x04zip", "it is not a text file"),
    "empty": ("a.csv", "", "it is empty; expected columns video, start, end, query"),
    "titles alone": ("a.csv", TWO, "no rows; expected columns video, start, end, query"),
    "two candidates": (
        "a.csv",
        "file,clip,start,end,query\nk.mp4,k.mp4,1,2,x\n",
        "'file' and 'clip' could both be the column video",
    ),
    "a rating that is none": (
        "a.csv",
        "video,start,end,query,rating\nk.mp4,1,2,x,5\n",
        "rating 5; expected 0 (very bad) to 4",
    ),
    "not JSON": ("a.jsonl", '{"video": "k.mp4"\n', "line 1: not JSON"),
    "an underscore": ("a.csv", TWO + "k.mp4,1_0,20,x\n", "start is '1_0'; expected seconds"),
    "infinity": ("a.csv", TWO + "k.mp4,1,inf,x\n", "end is 'inf'; expected seconds"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_is_refused_with_the_row_and_the_cure(read, name):
    file, content, reason = REFUSED[name]
    with pytest.raises(AnnotationError) as error:
        read(file, content)
    assert reason in str(error.value)
    assert str(error.value).count("\n") <= 2


def test_every_bad_row_is_named(read):
    with pytest.raises(AnnotationError) as error:
        read("a.csv", TWO + "k.mp4,x,2,a\nk.mp4,1,2,b\nno.mp4,1,2,c\nk.mp4,1,2,d,e\n")
    assert [fault.split(":")[0] for fault in error.value.faults] == ["line 5", "line 2", "line 4"]


@pytest.fixture
def workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def make(rows, *, forms=None, more=()):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        for place, form in (forms or {}).items():
            book.active[place].number_format = form
        for title, others in more:
            sheet = book.create_sheet(title)
            for row in others:
                sheet.append(row)
        book.save(tmp_path / "a.xlsx")
        return "a.xlsx"

    return make


TITLES = ["Datei", "Von", "Bis", "Satz"]


def test_a_workbook_is_read_as_its_export_would_be(workbook, read):
    rows = [
        ["Notes"],
        [],
        TITLES,
        ["k.mp4", 12.5, 15, "she cuts"],
        ["k.mp4", time(0, 0, 12), timedelta(seconds=15), "a clock"],
        ["k.mp4", time(0, 12), time(0, 15), "typed as 0:12"],
        ["k.mp4", "0:12", "00:00:15", "text"],
        ["k", "12,5", "15", "a comma"],
        [None, None, None, None],
    ]
    forms = {"B5": "h:mm:ss", "C5": "[h]:mm:ss", "B6": "h:mm", "C6": "h:mm"}
    found, said = read(workbook(rows, forms=forms), None)
    assert [(query, window) for _, query, window in found] == [
        *[("she cuts", (12.5, 15.0)), ("a clock", (12.0, 15.0)), ("typed as 0:12", (12.0, 15.0))],
        *[("text", (12.0, 15.0)), ("a comma", (12.5, 15.0))],
    ]
    assert ".xlsx; Datei as video; Von as start; Bis as end; Satz as query" in said
    assert "the names of the columns in row 3" in said


def test_a_workbook_names_its_rows_and_sheets(workbook, read):
    with pytest.raises(AnnotationError, match=r"row 2: start is 'x'"):
        read(workbook([TITLES, ["k.mp4", "x", 2, "a"]]), None)
    both = [TITLES, ["k.mp4", 1, 2, "a"]]
    with pytest.raises(AnnotationError, match=r"sheet 'Sheet' and sheet 'Tag 2' both have the columns"):
        read(workbook(both, more=[("Tag 2", both)]), None)
    rows, said = read(workbook(both, more=[("Notes", [["about"], ["nothing"]])]), None)
    assert rows == [("k", "a", (1.0, 2.0))]
    assert ".xlsx, sheet 'Sheet'" in said


def test_a_workbook_under_another_name_is_known(workbook, read, tmp_path):
    (tmp_path / workbook([TITLES, ["k.mp4", 1, 2, "a"]])).rename(tmp_path / "a.csv")
    assert read("a.csv", None)[0] == [("k", "a", (1.0, 2.0))]


def test_a_damaged_workbook_is_refused(read):
    pytest.importorskip("openpyxl")
    with pytest.raises(AnnotationError, match=r"cannot be read as \.xlsx: .*; save it again, or export it as CSV"):
        read("a.xlsx", b"PK\x03\x04 xl/ broken")


def test_without_the_package_the_command_that_installs_it_is_named(read, monkeypatch):
    from spikemba.errors import PackageMissing
    from spikemba.tables import sheet

    monkeypatch.setattr(sheet, "is_installed", lambda name: False)
    with pytest.raises(PackageMissing, match=r"needs openpyxl, .*; run `pip install 'spikemba\[tables\]'`"):
        read("a.xlsx", b"PK\x03\x04")


def test_windows_of_one_sentence_are_one_annotation(read):
    data, _ = read("a.csv", TWO + "k.mp4,5,6,x\nKüche.mp4,1,2,x\nk.mp4,1,2,x\n")
    assert data == [("k", "x", Window(1.0, 2.0), Window(5.0, 6.0)), ("Küche", "x", Window(1.0, 2.0))]


DECIDED = {
    "a rating with a comma": ("video;start;end;query;rating\nk.mp4;1;2;x;3,0\n", (1.0, 2.0), "commas before decimals"),
    "points and semicolons": ("video;start;end;query\nk.mp4;1.234;2.345;x\n", (1.234, 2.345), "points before decimals"),
    "hours and minutes, as the title says": (
        "video,start (hh:mm),end (hh:mm),query\nk.mp4,0:01,0:01:30,x\n",
        (60.0, 90.0),
        "0:12 is 12 minutes, as the column says",
    ),
    "minutes": ("video,start (min),end (min),query\nk.mp4,0.5,1,x\n", (30.0, 60.0), "times in minutes"),
    "seconds beside a rate": ("video,start_s,end_s,query,fps\nk.mp4,1,2,x,25\n", (1.0, 2.0), "times in seconds"),
    "a line break in the sentence": ('video,start,end,query\nk.mp4,1,2,"x\r\n"\n', (1.0, 2.0), "times in seconds"),
    "a minus that is none": ('video,start,end,query\nk.mp4,0,2.0 s,"x"\n', (0.0, 2.0), "times in seconds"),
}


@pytest.mark.parametrize("name", DECIDED)
def test_what_could_mean_two_things_is_decided_by_a_rule_and_said(read, name):
    content, window, how = DECIDED[name]
    rows, said = read("a.csv", content)
    assert rows == [("k", "x", window)]
    assert how in said


def test_files_are_found_by_the_end_of_their_path_or_refused_with_both(read, tmp_path):
    for name in ("A/C1.mp4", "B/C1.mp4", "B/only.mov"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows, _ = read("a.csv", TWO + "A/C1.mp4,1,2,x\nB\\C1,1,2,x\nonly.mov,1,2,x\n")
    assert [row[0] for row in rows] == ["A/C1", "B/C1", "only"]
    with pytest.raises(
        AnnotationError, match=r"line 2: video 'C1' could be .*A/C1.mp4 or .*B/C1.mp4; write more of its"
    ):
        read("a.csv", TWO + "C1,1,2,x\n")


def test_the_ids_are_those_that_encoding_the_same_inputs_gives(tmp_path):
    from spikemba.video.names import named_videos

    for name in ("f/A/C1.mp4", "f/B/C1.mp4", "f/unused.mp4", "elsewhere/C1.mp4", "elsewhere/unused.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "f/link.mp4").symlink_to("A/C1.mp4")
    (tmp_path / "a.csv").write_text(
        TWO + f"A/C1.mp4,1,2,x\nB/../B/C1.mp4,1,2,x\nlink.mp4,1,2,x\n{tmp_path}/elsewhere/C1.mp4,1,2,x\n"
    )
    data = read_custom(tmp_path / "a.csv", tmp_path / "f", duration_of)
    assert data.videos == [tmp_path / "f", tmp_path / "elsewhere/C1.mp4"]
    ids = [one.video_id for one in data.annotations]
    assert len(set(ids)) == 4
    assert set(ids) < set(named_videos(data.videos))


def test_names_of_a_mac_and_of_a_table_are_the_same(read, tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "Gärten.mp4")).touch()
    rows, _ = read("a.csv", TWO + "Gärten.mp4,1,2,x\n")
    assert [query for _, query, _ in rows] == ["x"]


@pytest.mark.parametrize("query", ["=1+1", "+a", "-a", "@a", "'=a", "''-a", "'tis", "a=b"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_written_as_text_and_read_as_it_was(read, query):
    found = result(query).splitlines()[1].split(",")[1]
    assert not found.startswith(("=", "+", "-", "@", "\t", "\r"))
    table = f"video,start,end,query\nk.mp4,1,2,{found}\n"
    rows, _ = read("t.csv", table)
    assert [row[1] for row in rows] == [query]


def result(query):
    """A table of one moment of that sentence."""
    none = np.zeros(2, np.float32)
    answer = Answer((Moment(1.0, 2.0, 0.5),), none, none, (), np.zeros((2, 1), np.bool_))
    return as_csv([Grounding(Path("k.mp4"), query, 100.0, 2.0, answer, "mini")])


@pytest.mark.parametrize("text", ["=a", "+a", "-a", "@a", "\ta", "\ra", "'=a", "'\ta", "'a", "a", "", "'"])
def test_the_mark_of_text_comes_off_again(text):
    assert from_text(as_text(text)) == text
    assert not as_text(text).startswith(("=", "+", "-", "@", "\t", "\r"))
