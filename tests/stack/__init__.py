"""The real servers that tests, benchmarks and the demo run on, each usable alone; see `python -m tests.stack`."""
