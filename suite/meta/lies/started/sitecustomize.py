"""Tells a lie to a program that a spec starts, before its first line runs: see `to_started_programs`.

The interpreter imports this module by its name when its folder is on PYTHONPATH.
"""

import importlib
import os
import sys

# The launcher of distributed programs imports none of the libraries; the programs that it starts do.
if "torch.distributed.run" not in sys.orig_argv:
    import pytest

    module, _, name = os.environ["CLAIMS_LIE"].partition(":")
    getattr(importlib.import_module(module), name)(pytest.MonkeyPatch())
