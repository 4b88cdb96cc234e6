"""Generation with a KV cache against generation without, and tokens a second of both networks.

    PYTHONPATH=code python benchmarks/decoding.py [--profile smoke]

What is measured and how: ``genmodels/stages/speed/decoding.py``. About a minute of processor time.
"""

from __future__ import annotations

import argparse

from genmodels.stages.speed.decoding import SETTINGS, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=tuple(SETTINGS), default="full")
    found = measure(SETTINGS[parser.parse_args().profile])
    print("| K/V heads | tokens | with cache, s | without, s | ratio | cache, kB |\n|--:|--:|--:|--:|--:|--:|")
    for row in found["rows"]:
        print(
            f"| {row['kv_heads']} | {row['tokens']} | {row['cache_seconds']:.2f} | {row['plain_seconds']:.2f} "
            f"| {row['ratio']:.1f} | {row['cache_bytes'] / 1e3:.0f} |"
        )
    for name, speeds in found["networks"].items():
        print(f"\n{name}: " + ", ".join(f"batch {batch}: {speed:.0f} tokens/s" for batch, speed in speeds.items()))


if __name__ == "__main__":
    main()
