"""PH2 skin lesions: the defaults in three minutes and without a hurry.

    python benchmarks/ph2.py [hurried|unhurried|all]

Marks: per-image mean IoU on test 0.877 with budget=3m (the best of a published comparison, trained
on a GPU) and 0.90 in under 15 minutes.
"""

import sys

from common import SHARED, record, train_and_test

RUNS = {"hurried": ("budget=3m",), "unhurried": ("budget=12m",)}

if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    for name, settings in RUNS.items():
        if wanted in (name, "all"):
            record(f"ph2-{name}", train_and_test(f"ph2-{name}", SHARED / "ph2", *settings))
