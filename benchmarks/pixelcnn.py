"""PixelCNN's training in several forms, the cost law, and the samplers, each in one run.

    PYTHONPATH=code python benchmarks/pixelcnn.py [--profile smoke]

What is measured and how: ``genmodels/pixelcnn/training_speed.py`` and ``sampling_speed.py``. About four minutes of
processor time.
"""

from __future__ import annotations

import argparse

from genmodels.pixelcnn import sampling_speed, training_speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=tuple(training_speed.SETTINGS), default="full")
    profile = parser.parse_args().profile
    found = training_speed.measure(training_speed.SETTINGS[profile])
    print("| form | images/s | ratio | GFLOP an image | GFLOP/s | of a product |\n|---|--:|--:|--:|--:|--:|")
    for row in found["forms"]:
        print(f"| {row['form']} | {row['images_per_second']:.1f} | {row['ratio']:.2f} | {row['flops'] / 1e9:.2f} "
              f"| {row['gflops_per_second']:.0f} | {row['of_product']:.0%} |")
    for name, reason in found["left_out"].items():
        print(f"left out: {name}: {reason}")
    print("\n| varied | value | GFLOP an image | ms an image |\n|---|--:|--:|--:|")
    for point in found["law"]:
        print(f"| {point['varied']} | {point[point['varied']]} | {point['flops'] / 1e9:.2f} | {1e3 * point['seconds']:.2f} |")
    print(f"\nseconds grow with FLOPs to the power {found['exponents']['flops']:.2f}")
    found = sampling_speed.measure(sampling_speed.SETTINGS[profile])
    print("\n| sampler | CPU seconds | ratio |\n|---|--:|--:|")
    for row in found["rows"]:
        print(f"| {row['way']} | {row['cpu_seconds']:.2f} | {row['ratio']:.1f} |")
    print("\nFLOPs an image: " + ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in found["flops"].items()))


if __name__ == "__main__":
    main()
