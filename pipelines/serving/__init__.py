"""Looking and asking in a browser, or by a language model: the calls, the page, what may be reached.

In:    folders of videos, checkpoints, and what people ask and correct.
Out:   answers while they are found, videos as a browser plays them, files to take along, corrections to train on.
First: service.py, the calls without any web; then web/app.py, the same as addresses. mcp_server.py is the other door.
       footage/ what may be looked at; asking/ questions and their queue; known/ what is true; door/ who may ask; page/.
"""
