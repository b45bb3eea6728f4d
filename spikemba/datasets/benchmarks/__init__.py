"""The benchmarks: one file each, with what it publishes and how it is scored."""
