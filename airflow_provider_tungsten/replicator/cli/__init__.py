"""The command `tungsten`: parses, calls the engine, shows what came of it. What is done is the engine's business.

Results go to standard output, progress, log lines and errors to standard error; how it ended is the exit status.
"""

from __future__ import annotations
