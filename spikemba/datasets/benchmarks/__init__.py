"""The benchmarks, one file each, which says all that there is to know of it as BENCHMARK; no other module lies here.

In:    a benchmark's official files, or its peers' forms of them.
Out:   annotations, and the entry that preparing, scoring and the command line ask.
First: tacos.py, the shortest; `spikemba.datasets.benchmark` says what an entry holds.
"""
