"""A library that is asked from the page: which of its videos may be opened, searches and their queue, files to take."""
