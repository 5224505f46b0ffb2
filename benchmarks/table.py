"""Write README's table of figures from benchmarks/results/*.json.

python benchmarks/table.py
"""

import json
from pathlib import Path
from typing import Any

from pages import write_between

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results"
README = BENCHMARKS.parent / "README.md"
START, END = "<!-- figures: written by benchmarks/table.py -->", "<!-- end of figures -->"

TRAININGS = {
    "ph2-hurried": ("PH2 skin lesions, `budget=3m`", "per_image", "0.877"),
    "ph2-unhurried": ("PH2 skin lesions, `budget=12m`", "per_image", "0.90"),
    "camvid": ("CamVid, 11 classes, `budget=20m`", "dataset", "0.55"),
    "folder-carvana": ("Carvana cars, `budget=5m`", "per_image", ""),
    "folder-tgs_salt": ("TGS salt, `budget=5m`", "per_image", ""),
    "folder-isbi2012_em": ("EM membranes, 20 images, `budget=5m`", "per_image", ""),
    "folder-magnetic_tile_severstal_format": (
        "magnetic tile defects, 5 layers, `budget=5m`",
        "dataset",
        "",
    ),
    "folder-voc2012": ("PASCAL VOC, 21 classes, `budget=5m`", "dataset", ""),
    "folder-thin": ("drawn cracks, 1 % foreground, `budget=5m`", "dataset", ""),
}
MACHINES = {
    "A": "2 cores of a shared server (AMD EPYC, bf16, 25 GB), no GPU",
    "B": "2 cores of a shared server (Intel(R) Xeon(R) Processor, no bf16, 25 GB), no GPU",
}


def figures_table() -> str:
    """Markdown: one table of scores, one of speeds, and the machine they were measured on."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    lines = [
        "| data, defaults | test mean IoU [95 %] | average | mark | training | memory | machine |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        _training_row(results[name], *row) for name, row in TRAININGS.items() if name in results
    ]
    lines += ["", *_speed_lines(results)]
    return "\n".join([*lines, "", _machine_line(lines)])


def _training_row(result: dict[str, Any], name: str, average: str, mark: str) -> str:
    figures = result["figures"]
    score = figures[average]["mean_iou"]
    low, high = score["interval95"]
    minutes, seconds = divmod(round(figures["train_seconds"]), 60)
    kind = {"per_image": "of images", "dataset": "all pixels together"}[average]
    return (
        f"| {name} | **{score['value']:.3f}** [{low:.3f}, {high:.3f}] | {kind} | {mark} "
        f"| {minutes}m{seconds:02d}s | {figures['peak_memory_mb'] / 1000:.1f} GB "
        f"| {_letter(result)} |"
    )


def _speed_lines(results: dict[str, Any]) -> list[str]:
    lines = ["| what | figure | mark | machine |", "| --- | --- | --- | --- |"]
    if "throughput" in results:
        speed = results["throughput"]["figures"]
        lines.append(
            f"| U-Net (64 wide, 128x128) training, images/s: plain fp32 loop → Delineo | "
            f"{speed['plain_images_per_second']} → {speed['delineo_images_per_second']}, "
            f"{speed['ratio_median']} times; {speed['ratio_possible']} at a large matrix product's "
            f"rate | 4 times | {_letter(results['throughput'])} |"
        )
    if "loading" in results:
        share = results["loading"]["figures"]["share_of_step"]
        lines.append(
            f"| loading as a share of a step, Carvana | {100 * share:.1f} % | 5 % "
            f"| {_letter(results['loading'])} |"
        )
    if "startup" in results:
        start = results["startup"]["figures"]
        letter = _letter(results["startup"])
        lines.append(f"| `import delineo` | {start['import delineo']} s | 0.2 s | {letter} |")
        lines.append(f"| `delineo --help` | {start['delineo --help']} s | 0.3 s | {letter} |")
        seconds = start["delineo predict, OpenVINO"]
        lines.append(f"| `delineo predict EXPORT IMAGE`, OpenVINO | {seconds} s | 2 s | {letter} |")
    return [*lines, *_prediction_lines(results)]


def _prediction_lines(results: dict[str, Any]) -> list[str]:
    lines = []
    if "inference" in results:
        lines += _inference_lines(results["inference"])
    if "pipeline" in results:
        share = results["pipeline"]["figures"]["share_added"]["delineo predict"]
        lines.append(
            "| reading and writing files, beyond the model's time (0.5 million pixels each) "
            f"| {100 * share:.1f} % | hidden | {_letter(results['pipeline'])} |"
        )
    if "scan-30000" in results:
        letter, scan = _letter(results["scan-30000"]), results["scan-30000"]["figures"]
        gigabytes, lost = scan["peak_memory_mb"] / 1000, 100 * scan["share_lost"]
        name = "GeoTIFF of 30,000 x 30,000 pixels"
        lines.append(f"| {name}: memory | {gigabytes:.2f} GB | 1.5 GB | {letter} |")
        lines.append(
            f"| {name}: time beyond the model's | {lost:.1f} % of {scan['seconds']:.0f} s | 10 % "
            f"| {letter} |"
        )
    return lines


def _inference_lines(result: dict[str, Any]) -> list[str]:
    speed = result["figures"]
    smp = ("smp", "SMP's U-Net as documented")
    channels_last = ("smp, channels-last", "SMP's U-Net, channels-last fp32")
    channels_last_bf16 = ("smp, bf16 channels-last", "SMP's U-Net, channels-last bf16")
    rows = [
        (smp, "openvino", "fp32", "4 times, in bf16"),
        (smp, "openvino-bf16", "bf16", "4 times"),
        (smp, "openvino-int8", "int8, certified", "7 times"),
        (channels_last, "openvino", "fp32", "2.5 times, both in bf16"),
        (channels_last_bf16, "openvino-bf16", "bf16", "2.5 times"),
    ]
    took = speed["milliseconds"]
    return [
        f"| 256x256 image to mask, ms: {name} → OpenVINO {form} | {took[theirs]} → {took[ours]}, "
        f"{speed['times_faster_than'][theirs][ours]['median']} times | {mark} | {_letter(result)} |"
        for (theirs, name), ours, form, mark in rows
        if ours in took
    ]


def _letter(result: dict[str, Any]) -> str:
    return next(letter for letter, name in MACHINES.items() if _described(result) == name)


def _described(result: dict[str, Any]) -> str:
    machine = result["machine"]
    bf16 = "bf16" if machine["bf16"] else "no bf16"
    return (
        f"{machine['cores']} cores of a shared server ({machine['processor']}, {bf16}, "
        f"{machine['memory_gb']:.0f} GB), no GPU"
    )


def _machine_line(lines: list[str]) -> str:
    """The machines that rows were measured on."""
    used = {letter: name for letter, name in MACHINES.items() if f"| {letter} |" in "".join(lines)}
    machines = "; ".join(f"{letter}: {name}" for letter, name in used.items())
    return (
        f"Machines: {machines}. Medians and ratios of runs in turn. Each row is one script in "
        "`benchmarks/`, its JSON in `benchmarks/results/`."
    )


if __name__ == "__main__":
    write_between(README, START, END, figures_table())
