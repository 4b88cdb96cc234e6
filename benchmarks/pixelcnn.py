"""PixelCNN's training in several forms, the cost law, and the samplers, each in one run.

    PYTHONPATH=code python benchmarks/pixelcnn.py [--profile smoke] [--device cuda]

What is measured and how: ``genmodels/pixelcnn/training_speed.py`` and ``sampling_speed.py``. About four minutes of
processor time. With ``--device cuda`` the forms of training alone, on a GPU (with bf16 and ``torch.compile`` together).
"""

from __future__ import annotations

import argparse
from typing import Any

from genmodels.stages.speed import sampling, training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=tuple(training.SETTINGS), default="full")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    if options.device == "cuda":
        show_forms(training.on_card())
        return
    profile = options.profile
    found = training.measure(training.SETTINGS[profile])
    show_forms(found)
    print("\n| varied | value | GFLOP an image | ms an image |\n|---|--:|--:|--:|")
    for point in found["law"]:
        print(
            f"| {point['varied']} | {point[point['varied']]} | {point['flops'] / 1e9:.2f} | {1e3 * point['seconds']:.2f} |"
        )
    print(f"\nseconds grow with FLOPs to the power {found['exponents']['flops']:.2f}")
    found = sampling.measure(sampling.SETTINGS[profile])
    print("\n| sampler | CPU seconds | ratio |\n|---|--:|--:|")
    for row in found["rows"]:
        print(f"| {row['way']} | {row['cpu_seconds']:.2f} | {row['ratio']:.1f} |")
    print("\nFLOPs an image: " + ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in found["flops"].items()))


def show_forms(found: dict[str, Any]) -> None:
    """One row a form, and why others are left out."""
    print("| form | images/s | ratio | GFLOP an image | GFLOP/s | of a product |\n|---|--:|--:|--:|--:|--:|")
    for row in found["forms"]:
        print(
            f"| {row['form']} | {row['images_per_second']:.1f} | {row['ratio']:.2f} | {row['flops'] / 1e9:.2f} "
            f"| {row['gflops_per_second']:.0f} | {row['of_product']:.0%} |"
        )
    for name, reason in found["left_out"].items():
        print(f"left out: {name}: {reason}")


if __name__ == "__main__":
    main()
