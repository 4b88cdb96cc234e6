"""``python -m genmodels data | prepare | train | transfer | verify | render | rubric | submission | bench``: the commands behind the Makefile.

A mistake that the user can mend ends in one line on stderr and an exit code other than 0;
Ctrl-C ends with 130, a training's after its checkpoint is written.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import runpy
import sys
import time
from pathlib import Path

from genmodels.config import PROFILES
from genmodels.errors import CheckFailed, UserError
from genmodels.stages import STAGES, known
from genmodels.system.files import is_system_file
from genmodels.system.places import OUTPUT, PROJECT, cache_folder, place

# Before torch is imported: threads that wait for each other sleep. Spinning makes training on busy cores far slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def command_data(arguments: argparse.Namespace) -> int:
    from genmodels.data import fetch_mnist, fetch_wikipedia
    from genmodels.system.places import data_folder

    sources = {"mnist": fetch_mnist, "wikipedia": fetch_wikipedia}
    for name in [arguments.name] if arguments.name else sources:
        sources[name].fetch(data_folder(arguments.to) / name, arguments.source)
    return 0


def command_prepare(arguments: argparse.Namespace) -> int:
    from genmodels.config import TextConfig
    from genmodels.text.prepare import prepared

    text = prepared(TextConfig(corpus=arguments.corpus), arguments.data, arguments.workers)
    for split, tokens in text.tokens.items():
        print(f"{arguments.corpus} {split}: {len(text.offsets[split]) - 1} documents, {len(tokens)} tokens")
    return 0


def command_train(arguments: argparse.Namespace) -> int:
    from genmodels import stages
    from genmodels.system import processes

    leads = processes.is_leader()
    for name in stages.known(arguments.stage):
        started = time.monotonic()
        stage = stages.get(name)
        if not (leads or stage.shares_work):
            continue
        path = stage.run(arguments.profile, arguments.data, arguments.restart)
        if leads:
            print(f"{name} {arguments.profile}: {path} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


def command_transfer(arguments: argparse.Namespace) -> int:
    from genmodels.stages.transfer_public import carried_over

    found = carried_over(
        arguments.source, arguments.target, arguments.kilobytes, arguments.steps, arguments.rate, arguments.data
    )
    print(f"bits per character on the test ghazals: {found['before']:.3f} before, {found['after']:.3f} after")
    if found["unknown_share"]:
        share = f"{found['unknown_share']:.1%} of the tokens"
        print(f"the tokenizer cannot write all of the text ({share}): these bits are too few")
    if not found["improved"]:
        print("no step did better on the validation ghazals than none: try a lower --rate or more --steps")
    print(f"a sample, the first one drawn:\n{found['sample']}")
    return 0


def command_verify(arguments: argparse.Namespace) -> int:
    from genmodels.stages.verification import verified
    from genmodels.system.kinds import CONTRADICTED, MARKS, UNCHECKED, held, kind

    cache_folder()  # one that cannot be is a mistake of the call, and contradicts nothing
    found, names = [], known(arguments.stage)
    for name, checks in verified(
        names, arguments.profile, folder=arguments.data, whole=True, workers=arguments.workers
    ):
        for check in checks:
            found.append(said := kind(check))
            why = f"{said}: " if said == UNCHECKED else ""
            print(f"{MARKS[said]} {name}/{arguments.profile} {check.name}: {why}{check.detail}", flush=True)
    if failed := found.count(CONTRADICTED):
        raise CheckFailed(f"{failed} of {len(found)} checks failed: the shipped results do not hold")
    print(f"verify: {held(len(found), found.count(UNCHECKED))}")
    return 0


def command_render(arguments: argparse.Namespace) -> int:
    from genmodels.render import reuse
    from genmodels.render.document import render

    output = Path(arguments.output)
    kept = output / reuse.FOLDER
    if arguments.fresh:
        (kept / reuse.NAME).unlink(missing_ok=True)
    for path in render(PROJECT, arguments.to, output, reuse_from=kept, timings=arguments.timings):
        print(path)
    return command_rubric(arguments)


def command_rubric(arguments: argparse.Namespace) -> int:
    from genmodels.render import verdict

    print(verdict.judge(Path(arguments.output) / verdict.NAME))
    return 0


def command_submission(arguments: argparse.Namespace) -> int:
    from genmodels.render.submission import submit

    path = submit(arguments.student, arguments.id, arguments.output, arguments.light, arguments.fresh)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def command_bench(arguments: argparse.Namespace) -> int:
    folder = PROJECT / "benchmarks"
    names = sorted(path.stem for path in folder.glob("*.py") if not is_system_file(path.name))
    if unknown := [name for name in arguments.name if name not in names]:
        raise UserError(f"there is no benchmark {unknown[0]!r}; the benchmarks are {', '.join(names)}")
    for name in arguments.name or names:
        kept, sys.argv = (
            sys.argv,
            [str(folder / f"{name}.py")],
        )  # its options are its own: those of this command are none
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        finally:
            sys.argv = kept
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="genmodels", description=__doc__.split("\n")[0].replace("`", ""))
    commands = top.add_subparsers(dest="command", required=True)

    data = commands.add_parser("data", help="fetch or copy the raw data, checked, into the data folder")
    data.add_argument("name", nargs="?", choices=("mnist", "wikipedia"), help="default: both")
    data.add_argument("--from", dest="source", type=place, help="take the files from here instead of the network")
    data.add_argument("--to", type=place, help="data folder (default: GENMODELS_DATA or data/)")
    data.set_defaults(run=command_data)

    prepare = commands.add_parser("prepare", help="clean, normalise and tokenise the text")
    prepare.add_argument("corpus", nargs="?", default="fluent", choices=("fluent", "classic"))
    prepare.add_argument("--data", type=place, help="data folder (default: GENMODELS_DATA or data/)")
    prepare.add_argument("--workers", type=int, help="processes (default: one a core; the result is the same)")
    prepare.set_defaults(run=command_prepare)

    train = commands.add_parser("train", help="train stages and publish their results in cache/")
    train.add_argument("stage", nargs="*", help=f"{', '.join(STAGES)} (default: all)")
    train.add_argument("--data", type=place, help="data folder (default: GENMODELS_DATA or data/)")
    train.add_argument("--restart", action="store_true", help="forget the checkpoint of an unfinished run")
    train.set_defaults(run=command_train)
    _add_transfer(commands)
    verify = commands.add_parser("verify", help="try to contradict the shipped results (exit code 5 if that succeeds)")
    verify.add_argument("stage", nargs="*", help="default: all")
    verify.add_argument(
        "--data", type=place, help="data folder (default: GENMODELS_DATA or data/); without data, less is verified"
    )
    verify.add_argument("--workers", type=int, help="processes (default: one a core; the findings are the same)")
    verify.set_defaults(run=command_verify)
    for command in (train, verify):
        command.add_argument("--profile", choices=PROFILES, default="full")

    render = commands.add_parser("render", help="render report.qmd without Quarto")
    render.add_argument("--to", nargs="+", choices=("html", "pdf"), default=("html", "pdf"))
    render.add_argument("--timings", action="store_true", help="show the seconds of each chunk")
    render.set_defaults(run=command_render)

    rubric = commands.add_parser(
        "rubric", help="did every check (exit code 5 if not) and every sentence (6) of the rendered document hold?"
    )
    rubric.set_defaults(run=command_rubric)
    render.add_argument("--fresh", action="store_true", help="execute every chunk, also where nothing has changed")
    for command in (render, rubric):
        command.add_argument("--output", type=place, default=OUTPUT, help="output folder (default: _output)")

    submission = commands.add_parser("submission", help="render with name and number, and pack everything into one zip")
    submission.add_argument("--student", help="name on the title page (default: author: in report.qmd)")
    submission.add_argument("--id", help="number on the title page (default: student-id: in report.qmd)")
    submission.add_argument("--output", type=place, help="folder of the zip (default: _output)")
    submission.add_argument(
        "--light", action="store_true", help="leave weights and arrays behind: small, cannot render again"
    )
    submission.add_argument("--fresh", action="store_true", help="execute every chunk, also where nothing has changed")
    submission.set_defaults(run=command_submission)

    bench = commands.add_parser("bench", help="run benchmarks: ratios measured side by side")
    bench.add_argument("name", nargs="*", help="default: all")
    bench.set_defaults(run=command_bench)
    return top


def _add_transfer(commands: argparse._SubParsersAction) -> None:
    transfer = commands.add_parser("transfer", help="carry a public pre-trained model over to the ghazals of Hafez")
    transfer.add_argument(
        "--from", dest="source", required=True, help="a causal model: a name of the Hugging Face hub, or a folder"
    )
    transfer.add_argument("--target", choices=("verse", "prose"), default="verse")
    transfer.add_argument("--kilobytes", type=int, default=0, help="of training text (default: all)")
    transfer.add_argument("--steps", type=int, default=200, help="of the optimiser (default: 200)")
    transfer.add_argument("--rate", type=float, default=1e-4, help="learning rate (default: 1e-4)")
    transfer.add_argument("--data", type=place, help="data folder (default: GENMODELS_DATA or data/)")
    transfer.set_defaults(run=command_transfer)


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):  # "…" and Persian paths in any locale: no traceback
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() in ("ascii", "ansi_x3.4-1968", "us-ascii"):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # locale C: file names are bytes there
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parser().parse_args(arguments)
        return options.run(options)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read this has left: `genmodels verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # the disk, in somebody else's code; any other is a fault of ours and keeps its traceback
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
            raise
        way_out = "choose a shorter path" if error.errno == errno.ENAMETOOLONG else "free some space or mend its rights"
        print(f"error: {str(error.filename or 'a file')[:200]}: {error.strerror}; {way_out}", file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt as stop:
        print(stop if str(stop) else "stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
