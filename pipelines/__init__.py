"""The stages: each takes values, writes files, and reports what it does; none knows a terminal."""
