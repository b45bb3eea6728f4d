"""Tables as spreadsheets and annotation tools export them: read, or refused with the row and the cure.

In:    .csv, .tsv, .txt, .xlsx, .json and .jsonl, of any country's spreadsheet; names of the columns that are wanted.
Out:   rows by those names, cells to seconds, and one line that says how the file was read.
First: table.py.
"""
