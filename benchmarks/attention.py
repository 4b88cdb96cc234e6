"""Time and peak memory of attention against n, three ways side by side in one run, with the fitted powers of n.

    PYTHONPATH=code python benchmarks/attention.py [--lengths 256 512 1024 2048 4096] [--rank 128] [--json FILE]

Width 512, 8 heads, float32, forward only, the core alone (no projections): written out, PyTorch's fused kernel, and
Linformer's. One thread, processor seconds. The ratio columns are the result; seconds belong to this machine. Peak
memory is what the operating system saw, with the bytes counted tensor by tensor beside it.
Half a minute of processor time at the default lengths.
"""

from __future__ import annotations

import argparse
import platform

import torch

from genmodels.attention.growth import METHODS, core, fitted_exponent, measure, resident_peak
from genmodels.system.files import write_json

MEGABYTE = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--rank", type=int, default=128, help="Linformer's k")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", help="also write the rows to this file")
    asked = parser.parse_args()
    torch.set_num_threads(1)

    rows = measure(asked.lengths, repeats=asked.repeats, rank=asked.rank)
    with torch.inference_mode():
        for row in rows:
            for method in METHODS:
                row[f"{method}_resident_bytes"] = resident_peak(core(method, row["n"], rank=asked.rank))

    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, k = {asked.rank}\n")
    print(
        "|     n | full ms | fused ms | linformer ms | full/fused | full/linformer "
        "| full MB (counted) | fused MB | linformer MB (counted) |"
    )
    print("|" + "|".join(["--:"] * 9) + "|")
    for row in rows:
        ms = {method: 1e3 * row[f"{method}_seconds"] for method in METHODS}
        sizes = {name: value for name, value in row.items() if name.endswith("_bytes")}
        mb = {name: "-" if value is None else f"{value / MEGABYTE:.1f}" for name, value in sizes.items()}
        print(
            f"| {row['n']:5d} | {ms['full']:7.2f} | {ms['fused']:8.2f} | {ms['linformer']:12.2f} "
            f"| {ms['full'] / ms['fused']:10.2f} | {ms['full'] / ms['linformer']:14.2f} "
            f"| {mb['full_resident_bytes']:>7} ({mb['full_bytes']:>7}) | {mb['fused_resident_bytes']:>8} "
            f"| {mb['linformer_resident_bytes']:>10} ({mb['linformer_bytes']:>10}) |"
        )
    powers = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name != "n" and len(rows) > 1 and all(values):
            powers[name] = fitted_exponent(asked.lengths, values)
    print("\nfitted powers of n: " + ", ".join(f"{name} {power:.2f}" for name, power in powers.items()))
    if asked.json:
        write_json(asked.json, {"rows": rows, "fitted_powers": powers, "torch": torch.__version__})


if __name__ == "__main__":
    main()
