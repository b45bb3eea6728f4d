"""The calls over HTTP: their table, their addresses, the page's files, the server."""
