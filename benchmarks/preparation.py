"""Preparation of text: hazm the plain way against ours, one worker and two, and peak memory against length.

    PYTHONPATH=code python benchmarks/preparation.py [--profile smoke]

What is measured and how: ``genmodels/text/speed.py``, ``genmodels/text/bpe_speed.py``. A few minutes of processor time.
"""

from __future__ import annotations

import argparse

from genmodels.stages.speed import bpe, preparation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=tuple(preparation.SETTINGS), default="full")
    profile = parser.parse_args().profile
    found = preparation.measure(preparation.SETTINGS[profile])
    print("| step | plain, MB/s | ours, MB/s | ratio |\n|---|--:|--:|--:|")
    for row in found["steps"]:
        print(f"| {row['step']} | {row['plain_mb_per_second']:.2f} | {row['mb_per_second']:.2f} | {row['ratio']:.1f} |")
    print("\n| whole preparation, MB | workers | seconds | processor seconds | peak, MB |\n|--:|--:|--:|--:|--:|")
    for row in found["whole"]:
        print(
            f"| {row['megabytes']:.1f} | {row['workers']} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
            f"| {row['peak_megabytes']:.0f} |"
        )
    print("\n| vocabulary | ours, s | tokenizers, s | ratio | pieces read | by recounting |\n|--:|--:|--:|--:|--:|--:|")
    for row in bpe.measure(bpe.SETTINGS[profile])["rows"]:
        print(
            f"| {row['vocabulary']} | {row['seconds']:.2f} | {row['tokenizers_seconds']:.2f} | {row['ratio']:.1f} "
            f"| {row['readings']:,} | {row['recount_readings']:,} |"
        )


if __name__ == "__main__":
    main()
