"""What is wrong with a table."""


class TableFault(Exception):
    """Why a file, a row or a cell cannot be read, and the cure: one line, to stand behind the file's name."""
