"""CamVid street scenes, eleven classes, the defaults with budget=20m.

Marks: test mean IoU 0.55; published, trained on GPUs: ENet 52.9, SegNet 60.1.
"""

from common import SHARED, record, train_and_test

if __name__ == "__main__":
    record("camvid", train_and_test("camvid", SHARED / "camvid", "budget=20m"))
