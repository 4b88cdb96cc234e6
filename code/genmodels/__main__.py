"""``python -m genmodels COMMAND``, data, prepare, train, status, results, transfer, verify, continue, draw, render, rubric, submission, bench: what the Makefile calls.

A mistake that the user can mend ends in one line on stderr and an exit code other than 0;
Ctrl-C ends with 130, a training's after its checkpoint is written.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from genmodels.config import PROFILE_VARIABLE, PROFILES, chosen_profile
from genmodels.errors import UserError
from genmodels.stages import STAGES
from genmodels.system.files import atomic_writer
from genmodels.system.places import PROJECT, output_folder, place

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


def command_continue(arguments: argparse.Namespace) -> int:
    from genmodels.stages import asking

    sampling = {name: getattr(arguments, name) for name in ("temperature", "top_k", "top_p", "min_p", "greedy")}
    sampling["repetition_penalty"] = arguments.repetition_penalty
    words = " ".join(arguments.text)
    print(asking.continued(words, arguments.model, arguments.profile, arguments.tokens, arguments.seed, **sampling))
    return 0


def command_draw(arguments: argparse.Namespace) -> int:
    import math

    import numpy as np
    from matplotlib.image import imsave

    from genmodels.report.canvas import tile
    from genmodels.stages import asking

    out = arguments.out
    if out.suffix.lower() != ".png" or out.is_dir():
        raise UserError(f"cannot write {out}: give --out the name of a file that ends in .png")
    with atomic_writer(out) as stream:  # opened before minutes are spent
        images = asking.drawn(
            arguments.model, arguments.profile, arguments.count, arguments.seed, arguments.temperature
        )
        sheet = np.nan_to_num(tile(images, math.ceil(math.sqrt(len(images))))).repeat(3, 0).repeat(3, 1)
        imsave(stream, sheet, cmap="gray_r", vmin=0, vmax=1, format="png", metadata={"Software": None})
    print(out)
    return 0


def with_quarto(arguments: argparse.Namespace) -> bool:
    """Quarto writes the documents where there is one."""
    from genmodels.render import quarto

    return not arguments.without_quarto and quarto.version() is not None


def of_stages(name: str) -> Callable[[argparse.Namespace], int]:
    """A command of ``stages/commands.py``, which is read when it is called: it takes torch."""
    return lambda arguments: getattr(import_module("genmodels.stages.commands"), name)(arguments)


def command_render(arguments: argparse.Namespace) -> int:
    from genmodels.render import reuse
    from genmodels.render.document import render

    if arguments.profile != chosen_profile():
        os.environ[PROFILE_VARIABLE] = arguments.profile
    output = Path(arguments.output or output_folder(arguments.profile))
    kept = output / reuse.KEPT
    if arguments.fresh:
        kept.unlink(missing_ok=True)
    front = {"live": False} if arguments.light else None
    by = {"front": front, "reuse_from": kept, "timings": arguments.timings, "quarto": with_quarto(arguments)}
    for path in render(PROJECT, arguments.to, output, **by):
        print(path)
    return command_rubric(arguments)


def command_rubric(arguments: argparse.Namespace) -> int:
    from genmodels.render import verdict

    print(verdict.judge(Path(arguments.output or output_folder(arguments.profile)) / verdict.NAME))
    return 0


def command_submission(arguments: argparse.Namespace) -> int:
    from genmodels.render.submission import submit

    quarto = with_quarto(arguments)
    how = (arguments.with_weights, arguments.fresh, quarto, arguments.light)
    path = submit(arguments.student, arguments.id, arguments.output, *how)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def command_bench(arguments: argparse.Namespace) -> int:
    from genmodels import stages

    names = [name for name in STAGES if name.startswith("speed-")]
    if unknown := [name for name in arguments.name if name not in names]:
        raise UserError(f"there is no benchmark {unknown[0]!r}; the benchmarks are {', '.join(names)}")
    for name in arguments.name or (["speed-training"] if arguments.device == "cuda" else names):
        print(f"\n# {name}", *stages.get(name).measured(arguments.profile, arguments.device), sep="\n")  # type: ignore[attr-defined]
    return 0


def data_and_text(commands: Any) -> None:
    """The commands before any training."""
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


def status_and_results(commands: Any) -> argparse.ArgumentParser:
    """The commands about results as they lie there; returns that of ``status``."""
    status = commands.add_parser(
        "status", help="every stage: whose result, of which data, what is stale, minutes it takes"
    )
    status.add_argument("stage", nargs="*", help="default: all")
    status.set_defaults(run=of_stages("status"))

    results = commands.add_parser("results", help="bring results home that were trained elsewhere")
    results.add_argument("action", choices=("import", "ship"), help="ship: what lies in cache/ is now the shipped one")
    results.add_argument("zip", nargs="?", type=place, help="folders <stage>/<profile> of cache/, zipped")
    results.set_defaults(run=of_stages("results"))
    return status


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="genmodels", description=__doc__.split("\n")[0].replace("`", ""))
    commands = top.add_subparsers(dest="command", required=True)

    data_and_text(commands)
    train = commands.add_parser("train", help="train stages and publish their results in cache/")
    train.add_argument("stage", nargs="*", help=f"{', '.join(STAGES)} (default: all)")
    train.add_argument("--data", type=place, help="data folder (default: GENMODELS_DATA or data/)")
    train.add_argument(
        "--needed", action="store_true", help="train also what else the change concerns; it is named before"
    )
    train.add_argument("--restart", action="store_true", help="forget the checkpoint of an unfinished run")
    train.set_defaults(run=of_stages("train"))
    _add_transfer(commands)
    verify = commands.add_parser("verify", help="try to contradict the shipped results (exit code 5 if that succeeds)")
    verify.add_argument("stage", nargs="*", help="default: all")
    verify.add_argument(
        "--data", type=place, help="data folder (default: GENMODELS_DATA or data/); without data, less is verified"
    )
    verify.add_argument("--workers", type=int, help="processes (default: one a core; the findings are the same)")
    verify.set_defaults(run=of_stages("verify"))
    with_profile = [train, verify, *_asking(commands), status_and_results(commands), *_document(commands)]
    for command in with_profile:
        command.add_argument("--profile", choices=PROFILES, default=chosen_profile(), help="default: %(default)s")

    bench = commands.add_parser("bench", help="measure the stages speed-… here and print them; nothing is published")
    bench.add_argument("name", nargs="*", help="default: all; on a GPU speed-training")
    bench.add_argument("--profile", choices=PROFILES, default="full")
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: the forms of training on a GPU")
    bench.set_defaults(run=command_bench)
    return top


def _asking(commands: argparse._SubParsersAction) -> list[argparse.ArgumentParser]:
    """The commands that ask a trained network."""
    more = commands.add_parser("continue", help="continue a text by a trained network")
    more.add_argument("text", nargs="+", help="the words to go on from")
    more.add_argument("--model", default="transformer", help="the stage of the network (default: transformer)")
    more.add_argument("--tokens", type=int, default=60, help="at most so many tokens more (default: 60)")
    more.add_argument("--temperature", type=float, default=0.8, help="below 1 safer, above 1 wilder (default: 0.8)")
    more.add_argument("--top-p", type=float, default=0.95, help="the likeliest tokens of this share (default: 0.95)")
    more.add_argument("--top-k", type=int, help="the k likeliest tokens only")
    more.add_argument("--min-p", type=float, help="no token below this share of the likeliest one's probability")
    more.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1 against repetition (default: 1)")
    more.add_argument("--greedy", action="store_true", help="the likeliest token each time")
    more.set_defaults(run=command_continue)

    draw = commands.add_parser("draw", help="draw images by a trained network into one PNG")
    draw.add_argument("--model", default="pixelcnn", help="the stage of the network (default: pixelcnn)")
    draw.add_argument("--count", type=int, default=100, help="how many (default: 100)")
    draw.add_argument("--out", type=place, required=True, help="the file to write, such as samples.png")
    draw.add_argument("--temperature", type=float, default=1.0, help="1: the model's own distribution (default)")
    draw.set_defaults(run=command_draw)
    for command in (more, draw):
        command.add_argument("--seed", type=int, default=0, help="the same seed, the same answer (default: 0)")
    return [more, draw]


def _document(commands: argparse._SubParsersAction) -> list[argparse.ArgumentParser]:
    """The commands about the document; returns those of one profile's."""
    render = commands.add_parser("render", help="render report.qmd, by Quarto where it is")
    render.add_argument("--to", nargs="+", choices=("html", "pdf"), default=("html", "pdf"))
    render.add_argument("--timings", action="store_true", help="show the seconds of each chunk")
    render.set_defaults(run=command_render)

    rubric = commands.add_parser(
        "rubric", help="did every check (exit code 5 if not) and every sentence (6) of the rendered document hold?"
    )
    rubric.set_defaults(run=command_rubric)
    for command in (render, rubric):
        command.add_argument(
            "--output", type=place, help="output folder (default: _output, of a profile: _output/PROFILE)"
        )

    submission = commands.add_parser("submission", help="render with name and number, and pack everything into one zip")
    submission.add_argument("--student", help="name on the title page (default: author: in report.qmd)")
    submission.add_argument("--id", help="number on the title page (default: student-id: in report.qmd)")
    submission.add_argument("--output", type=place, help="folder of the zip (default: _output)")
    submission.add_argument("--with-weights", action="store_true", help="so that it can be executed and verified there")
    submission.set_defaults(run=command_submission)
    for command in (render, submission):
        command.add_argument("--light", action="store_true", help="an HTML page without its models (live: false)")
        command.add_argument("--fresh", action="store_true", help="execute every chunk, also where nothing has changed")
        command.add_argument("--without-quarto", action="store_true", help="by Pandoc and Typst, also where Quarto is")
    return [render, rubric]


def _add_transfer(commands: argparse._SubParsersAction) -> None:
    transfer = commands.add_parser("transfer", help="carry a public model over to the ghazals of Hafez")
    transfer.add_argument("--from", dest="source", required=True, help="a causal model: hub name or folder")
    transfer.add_argument("--target", choices=("verse", "prose"), default="verse")
    transfer.add_argument("--kilobytes", type=int, default=0, help="of training text (default: all)")
    transfer.add_argument("--steps", type=int, default=200, help="of the optimiser (default: 200)")
    transfer.add_argument("--rate", type=float, default=1e-4, help="of learning (default: 1e-4)")
    transfer.add_argument("--data", type=place, help="data folder (default: GENMODELS_DATA or data/)")
    transfer.set_defaults(run=of_stages("transfer"))


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
