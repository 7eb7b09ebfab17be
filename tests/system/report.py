# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the system test prints: steps for people, checks with a sum for machines."""

import time


class Report:
    """Counts checks; in a demo the words are for who watches."""

    def __init__(self, demo):
        self.demo = demo
        self.passed = 0
        self.failed = 0
        self.began = time.monotonic()

    def step(self, text):
        print(f"[{time.monotonic() - self.began:4.0f} s] {text}", flush=True)

    def show(self, text):
        """Output of a command, for who watches"""
        if self.demo:
            for line in text.strip().splitlines():
                print(f"         | {line}", flush=True)

    def check(self, condition, text, detail=""):
        """One thing that must be so"""
        if condition:
            self.passed += 1
            print(f"         ok - {text}", flush=True)
        else:
            self.failed += 1
            print(f"         not ok - {text}{': ' + str(detail).strip()[-1500:] if detail else ''}", flush=True)

    def sum(self, name):
        print(f"{name}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0
