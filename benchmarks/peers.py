"""Our Transformer and LSTM against PyTorch's ready-made layers of the same size, in one run.

    PYTHONPATH=code python benchmarks/peers.py [--profile smoke]

What is measured and how: ``genmodels/stages/speed/peers.py``. About a minute of processor time.
"""

from __future__ import annotations

import argparse

from genmodels.stages.speed.peers import SETTINGS, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=tuple(SETTINGS), default="full")
    found = measure(SETTINGS[parser.parse_args().profile])
    print("| training | parameters | tokens/s | ours / this |\n|---|--:|--:|--:|")
    for name, row in found["training"].items():
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "1"
        print(f"| {name} | {row['parameters']:,} | {row['tokens_per_second']:.0f} | {ratio} |")
    one = found["generation"]
    print(
        f"\ngeneration of {one['tokens']} tokens: ours {one['ours_seconds']:.2f} s, "
        f"peer {one['peer_seconds']:.2f} s, ratio {one['ratio']:.1f}"
    )


if __name__ == "__main__":
    main()
