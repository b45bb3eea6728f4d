"""Why a file cannot be read: raised by every reader of this room, and turned by its caller into an error that names the
file and the cure."""


class Unreadable(Exception):
    """A file is damaged, is of another form, or would take more than it holds; the message is one short reason."""


class NotRead(Unreadable):
    """A file may be whole, and holds something that is not read: objects, texts, numbers of another kind."""
