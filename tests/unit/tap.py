# SPDX-License-Identifier: LGPL-2.1-or-later
"""Test functions in Python, reported as TAP for tests/unit/run."""

import os
import subprocess
import sys
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("VMCRYPT_BUILD", "build"))
CTL = os.path.join(BUILD, "vmcryptctl")


def ctl(*words, **kwargs):
    """vmcryptctl with its output; bounded in time."""
    kwargs.setdefault("timeout", 60)
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([CTL, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, **kwargs)


def equal(found, wanted, what=""):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


def run(functions):
    """Runs the functions in order and prints their results; exits."""
    failed = 0
    print(f"1..{len(functions)}")
    for number, function in enumerate(functions, 1):
        try:
            function()
            print(f"ok {number} - {function.__name__}", flush=True)
        except Exception:  # whatever it is, it is this test's failure
            failed += 1
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"not ok {number} - {function.__name__}", flush=True)
    sys.exit(1 if failed else 0)
