"""What is wrong with a table."""


class TableFault(Exception):
    """Why a file, a row or a cell cannot be read, and the cure: one line, which the caller puts behind the file's name."""
