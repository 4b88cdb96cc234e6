"""Shipped results that cannot lie: a folder per stage and profile, with a manifest that can be contradicted.

``cache/<stage>/<profile>/`` holds ``manifest.json`` and its payload: ``metrics.json``, ``history.csv``,
``weights.safetensors``, ``slice.npz`` (the evaluation slice), further files. The manifest keeps the whole config,
the digest of the data, sha256 of every payload file, commit, versions, device, times, and a behaviour fingerprint.
Loading refuses a payload whose bytes changed and a config or data digest that is not the one asked for,
naming the field. A folder is replaced as a whole, by renaming.

What a stage computes is not known here; ``stages`` knows.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch

from genmodels.config import differences
from genmodels.errors import StaleResult, UserError, WeightsAbsent
from genmodels.system import processes
from genmodels.system.device import processor
from genmodels.system.files import (
    data_digest,
    exclusive_lock,
    file_digest,
    is_system_file,
    read_json,
    write_bytes,
    write_json,
)
from genmodels.system.places import ASSETS, PROJECT, cache_folder
from genmodels.system.precision import bf16_is_native, packed, unpacked

FORMAT, WEIGHTS, SHIPPED = 1, "weights.safetensors", ASSETS / "shipped.json"
WAY_OUT = "free some space or set GENMODELS_CACHE to a folder you can write to"
LIBRARIES = ("torch", "numpy", "hazm", "tokenizers", "safetensors")


def result_folder(stage: str, profile: str) -> Path:
    return cache_folder() / stage / profile


def checkpoint_path(stage: str, profile: str) -> Path:
    """Where a run in progress keeps its checkpoint; never shipped."""
    return cache_folder() / "checkpoints" / f"{stage}-{profile}.pt"


def only_run(stage: str, profile: str) -> AbstractContextManager[None]:
    """Held while a stage is trained: two runs would overwrite each other's checkpoint. ``UserError`` if another is."""
    busy = f"another training of {stage}, profile {profile}, is running; wait for it or stop it"
    return exclusive_lock(checkpoint_path(stage, profile).with_suffix(".lock"), busy, WAY_OUT)


@dataclass(frozen=True)
class StoredResult:
    """A stage's folder, its payload already checked against the manifest."""

    folder: Path
    manifest: dict[str, Any]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        found = self._read("metrics.json", read_json)
        if not isinstance(found, dict):
            raise StaleResult(f"{self.folder / 'metrics.json'} is no table of measures; {self._again}")
        return found

    @cached_property
    def history(self) -> pd.DataFrame:
        return self._read("history.csv", pd.read_csv)

    @cached_property
    def slice(self) -> dict[str, np.ndarray]:
        """The arrays of the evaluation slice."""
        return self.arrays("slice.npz")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an npz (no pickles)."""

        def read(path: Path) -> dict[str, np.ndarray]:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}

        return self._read(name, read)

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors by name, fp32 also where the file holds halves."""
        return self._read(WEIGHTS, lambda path: unpacked(safetensors.torch.load(path.read_bytes())))

    def _read(self, name: str, read: Callable[[Path], Any]) -> Any:
        """What ``read`` makes of a payload file; ``StaleResult`` where it makes nothing of it."""
        try:
            return read(self.folder / name)
        except Exception as error:  # each library has half a dozen kinds for a damaged file
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            raise StaleResult(f"{self.folder / name} cannot be read ({reason}); {self._again}") from error

    @property
    def _again(self) -> str:
        return remake(self.manifest["stage"], self.manifest["profile"])


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@lru_cache(maxsize=None)
def commit() -> str:
    """The commit of this process's code, ``+changes`` where it differs from it, or "unknown".

    Asked once: what takes hours asks when it begins, since the folder may have moved on when it ends.
    """
    found = _git("rev-parse", "HEAD")
    return f"{found}+changes" if found and _git("status", "--porcelain", "--", "code") else found or "unknown"


def provenance() -> dict[str, Any]:
    """Commit, versions, device and time of a run."""
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        "device": {
            "kind": (kind := "cuda" if torch.cuda.is_available() else "cpu"),
            "bf16": bf16_is_native(kind),
            "name": processor(),
            "threads": torch.get_num_threads(),
            "processes": processes.place()[1],
            "system": sys.platform,
        },
        "finished_utc": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def run_identity(config: dict[str, Any], data: dict[str, Any]) -> str:
    """Digest of what a run is: a checkpoint continues only the run it came from."""
    return data_digest(repr(sorted(config.items())), data["digest"])


def array_bytes(**arrays: np.ndarray) -> bytes:
    """Arrays as the bytes of a compressed npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def publish(
    stage: str,
    profile: str,
    *,
    manifest: dict[str, Any],
    metrics: dict[str, Any],
    history: pd.DataFrame | None = None,
    weights: dict[str, torch.Tensor] | None = None,
    arrays: dict[str, np.ndarray] | None = None,
    files: dict[str, bytes] | None = None,
) -> Path:
    """Write a result as a whole: built beside its place, then renamed over it. Returns the folder."""
    target = result_folder(stage, profile)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{profile}.", dir=target.parent))
    except OSError as error:
        raise UserError(f"cannot write {target.parent}: {error.strerror}; {WAY_OUT}") from error
    try:
        payload = dict(files or {})
        if history is not None:
            payload["history.csv"] = history.to_csv(index=False, lineterminator="\n").encode()
        if weights is not None:
            payload[WEIGHTS] = safetensors.torch.save(packed(weights))
        if arrays is not None:
            payload["slice.npz"] = array_bytes(**arrays)
        for name, content in payload.items():
            write_bytes(fresh / name, content)
        write_json(fresh / "metrics.json", metrics)
        digests = {path.name: file_digest(path) for path in sorted(fresh.iterdir())}
        head = {"format": FORMAT, "stage": stage, "profile": profile, "payload": digests}
        write_json(fresh / "manifest.json", head | manifest)
        put(fresh, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}; {WAY_OUT}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def put(fresh: Path, target: Path) -> None:
    """Rename a result's whole folder ``fresh``, which lies beside ``target``, over it: the old one is there until then."""
    fresh.chmod(0o755)
    old = fresh.with_name(fresh.name + ".old")
    with exclusive_lock(target.with_name(f".{target.name}.lock"), way_out=WAY_OUT):
        for left in target.parent.glob(f".{target.name}.*.old"):  # a kill between the two renames: nothing is lost
            shutil.rmtree(left, ignore_errors=True) if target.exists() else os.replace(left, target)
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(fresh, target)
        except BaseException:
            if old.exists():
                os.replace(old, target)
            raise
    shutil.rmtree(old, ignore_errors=True)


def payload_names(folder: Path) -> set[str]:
    """Names of what lies in a result's folder beside its manifest; what the system put there does not count."""
    return {path.name for path in folder.iterdir() if not is_system_file(path.name)} - {"manifest.json"}


def is_shipped(result: StoredResult) -> bool:
    """Is it one that the project was handed over with (``assets/shipped.json``: stage -> sha256 of the manifest)?"""
    listed = read_json(SHIPPED) if SHIPPED.is_file() else {}
    return listed.get(result.manifest["stage"]) == file_digest(result.folder / "manifest.json")


def list_shipped(stages: Iterable[str]) -> None:
    """Write that list: from now on the full results that lie here are the shipped ones."""
    places = ((name, result_folder(name, "full") / "manifest.json") for name in stages)
    write_json(SHIPPED, {name: file_digest(path) for name, path in places if path.is_file()})


def remake(stage: str, profile: str) -> str:
    """The command that makes a result again, for messages."""
    return f"make it again with: python -m genmodels train {stage} --profile {profile}"


def cpu_minutes(manifest: dict[str, Any]) -> float:
    """Processor minutes of a run: the leading process's, times the processes that shared each of its batches evenly."""
    return manifest["cpu_seconds"] * manifest["device"].get("processes", 1) / 60


def _table(payload: Any) -> bool:
    return isinstance(payload, dict) and all(isinstance(digest, str) for digest in payload.values())


def load(
    stage: str, profile: str, config: Any = None, digest: str | None = None, folder: Path | None = None
) -> StoredResult:
    """Open a shipped result, refusing what was altered or does not belong to what is asked.

    ``config`` (a dataclass, a mapping of them, or plain values) and ``digest`` (of the data) are compared with the manifest where given;
    ``folder``: where it lies, if it is not in its place yet. Raises ``StaleResult`` naming the file or field, and the
    command that remakes the result.
    """
    folder, again = folder or result_folder(stage, profile), remake(stage, profile)
    if not (folder / "manifest.json").is_file():
        raise StaleResult(f"there is no result of stage {stage!r}, profile {profile!r} in {folder}; {again}")
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StaleResult(f"{folder / 'manifest.json'} has another format than {FORMAT}; {again}")
    if missing := {"payload", "config", "data"} - manifest.keys():
        raise StaleResult(f"{folder / 'manifest.json'} lacks {', '.join(sorted(missing))}; {again}")
    if (manifest.get("stage"), manifest.get("profile")) != (stage, profile):
        raise StaleResult(
            f"{folder} holds stage {manifest.get('stage')!r}, profile {manifest.get('profile')!r}; {again}"
        )
    if not (
        _table(manifest["payload"])
        and isinstance(data := manifest["data"], dict)
        and isinstance(data.get("digest"), str)
    ):
        raise StaleResult(f"{folder / 'manifest.json'} is damaged: its payload or data are no tables; {again}")
    present = payload_names(folder)
    stray = present ^ set(manifest["payload"])
    if stray == {WEIGHTS} and WEIGHTS not in present:
        way_out = f"ask for a hand-in of `make submission WITH_WEIGHTS=1`, or {again}"
        raise WeightsAbsent(f"the weights of {stage!r}, profile {profile!r}, are not here; {way_out}")
    if stray:
        raise StaleResult(f"{folder}: {', '.join(sorted(stray))} missing or not in the manifest; {again}")
    for name, wanted in manifest["payload"].items():
        if (found := file_digest(folder / name)) != wanted:
            raise StaleResult(f"{folder / name} was altered (sha256 {found[:12]}…, manifest {wanted[:12]}…); {again}")
    rows = differences(config, manifest["config"]) if config is not None else []
    if digest is not None and digest != manifest["data"]["digest"]:
        rows.append(f"data digest: asked {digest[:12]}…, stored {manifest['data']['digest'][:12]}…")
    if rows:
        raise StaleResult(f"result {stage}/{profile} was made with other settings: {'; '.join(rows)}; {again}")
    return StoredResult(folder, manifest)
