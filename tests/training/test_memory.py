"""Memory is kept between steps: freed blocks are not cleared anew by the system."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from leukoscope.training.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for step in range(40):
    if step == 30:  # by then the allocator has found its places
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16_777_216)  # 64 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


of_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")


def faults(word: str) -> int:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=True)
    return int(ran.stdout)


@of_linux
def test_blocks_that_are_freed_and_asked_for_again_cost_no_page_faults():
    pages = 4 * 16_777_216 // resource.getpagesize()
    given_back, kept = faults("given back"), faults("kept")
    if given_back < 5 * pages:
        pytest.skip("this system hands out large blocks in huge pages: there is nothing to be saved")
    assert kept < pages


@of_linux
def test_what_was_kept_is_given_back():
    code = """
import numpy as np
from leukoscope.training.memory import give_back_freed_memory, keep_freed_memory

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

keep_freed_memory()
blocks = [np.ones(1 << 18) for _ in range(64)]  # 128 MiB
full = resident()
last = blocks.pop()  # what lies above cannot hold the rest
del blocks
kept = resident()
assert give_back_freed_memory()
assert kept > full - 8 and resident() < full - 100, (full, kept, resident())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
