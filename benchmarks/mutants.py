"""What the tests of a module or a room would miss: ``python -m benchmarks.mutants subspace_sde/process.py``.

A mutant is the module with one small fault by an operator of mutmut: a sign, a bound, an argument dropped or None.
mutmut itself leaves decorated functions alone, and here all public ones are; so this script plants its faults in a copy
of the working tree, and runs the module's own tests against each mutant of a seeded draw. Text, annotations and
decorators stay as they are. It needs the extra ``mutants``, and an operating system that can fork.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import libcst
from mutmut.mutation.mutators import mutation_operators, operator_string
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
ABSENT = shutil.ignore_patterns(".*", "__pycache__", "*.safetensors", "build", "runs", "site")
UNTOUCHED = (libcst.Annotation, libcst.Decorator, libcst.FormattedString, libcst.Import, libcst.ImportFrom)
OPERATORS = [(kind, operator) for kind, operator in mutation_operators if operator is not operator_string]
PATIENCE = 4  # a mutant that takes so many times the tests' own time has timed out


class Mutant(NamedTuple):
    file: str
    before: str
    after: str

    def diff(self) -> str:
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=1, lineterm="")
        return "\n".join(list(lines)[2:])


class Faults(libcst.CSTVisitor):
    """Every place where one of mutmut's operators has something to offer."""

    def __init__(self) -> None:
        self.found: list[tuple[libcst.CSTNode, libcst.CSTNode]] = []

    def on_visit(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, UNTOUCHED):
            return False
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found += [(node, changed) for changed in operator(node)]
        return True


class Plant(libcst.CSTTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: libcst.CSTNode, new: libcst.CSTNode) -> None:
        self.old, self.new = old, new

    def on_leave(self, original_node: libcst.CSTNode, updated_node: libcst.CSTNode) -> libcst.CSTNode:
        return self.new if original_node is self.old else updated_node


def draw(files: list[Path], number: int, seed: int) -> tuple[list[Mutant], int]:
    """``number`` different mutants of the files that compile, and from how many places they were drawn."""
    places = []
    for file in files:
        tree, faults = libcst.parse_module(file.read_text()), Faults()
        tree.visit(faults)
        places += [(file, tree, *fault) for fault in faults.found]
    drawn: dict[Mutant, None] = {}
    for file, tree, old, new in random.Random(seed).sample(places, len(places)):
        after = tree.visit(Plant(old, new)).code
        try:
            compile(after, file, "exec")
        except SyntaxError:
            continue
        drawn[Mutant(str(file.relative_to(ROOT)), tree.code, after)] = None
        if len(drawn) == number:
            break
    return list(drawn), len(places)


def mirrored(module: Path) -> list[str]:
    """The tests of a module: its room's folder, or the files in ``tests`` that import from it."""
    room = module.relative_to(ROOT / "subspace_sde").parts[0].removesuffix(".py")
    if (ROOT / "tests" / room).is_dir():
        return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests" / room).glob("test_*.py"))]
    found = [path for path in sorted(ROOT.glob("tests/test_*.py")) if f"subspace_sde.{room} " in path.read_text()]
    return [str(path.relative_to(ROOT)) for path in found]


def start(copy: Path, tests: list[str], *options: str) -> int:
    """Run tests on a copy of the tree in a process of their own, which has torch and pytest already; its id."""
    if child := os.fork():
        return child
    os.setsid()
    os.chdir(copy)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.path[:] = [str(copy), str(copy / "backends"), *[place for place in sys.path if place not in ("", str(ROOT))]]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
    code = 70
    try:
        import pytest

        import subspace_sde

        assert Path(subspace_sde.__file__).is_relative_to(copy), f"these are tests of {subspace_sde.__file__}"
        code = int(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *options, *tests]))
    except BaseException as error:  # the mutant cannot be imported: found out
        print(repr(error))
    finally:
        os._exit(code)


def fast_ones_first(copy: Path, tests: list[str]) -> tuple[list[str], float]:
    """The tests in the order of their time, and the seconds of all; they must pass."""
    began = time.monotonic()
    _, status = os.waitpid(start(copy, tests, "--junitxml=times.xml"), 0)
    seconds = time.monotonic() - began
    if status:
        sys.exit((copy / "output").read_text() + "\nThe tests must pass before a mutant is planted.")
    spent: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(copy / "times.xml").iter("testcase"):
        spent[case.get("classname", "").replace(".", "/") + ".py"] += float(case.get("time", 0))
    return sorted(tests, key=lambda test: spent[test]), seconds


def fates(mutants: list[Mutant], copies: list[Path], tests: list[str], limit: float) -> Iterator[tuple[Mutant, str]]:
    """What became of each mutant, as they end; as many run at a time as there are copies."""
    sys.dont_write_bytecode = True  # two mutants of one second and one size would share their bytecode
    waiting, free, running = mutants[::-1], copies[:], {}
    try:
        while waiting or running:
            while waiting and free:
                mutant, copy = waiting.pop(), free.pop()
                file = copy / mutant.file
                file.write_text(mutant.after)
                for stale in file.parent.glob(f"__pycache__/{file.stem}.*"):
                    stale.unlink()
                running[start(copy, tests)] = mutant, copy, time.monotonic() + limit
            time.sleep(0.02)
            for child, (mutant, copy, end) in list(running.items()):
                ended, status = os.waitpid(child, os.WNOHANG)
                if not ended and time.monotonic() < end:
                    continue
                if not ended:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                del running[child]
                (copy / mutant.file).write_text(mutant.before)
                free.append(copy)
                yield mutant, "timed out" if not ended else "killed" if status else "survived"
    finally:
        for child in running:  # of a run that was interrupted
            os.killpg(child, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path, help="a module or a room, such as subspace_sde/solvers")
    parser.add_argument("--number", type=int, default=100, help="how many mutants are drawn (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--processes", type=int, default=2, help="how many run at a time (2)")
    args = parser.parse_args()

    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    module = args.module.resolve()
    mutants, places = draw(sorted(module.rglob("*.py")) if module.is_dir() else [module], args.number, args.seed)
    for name in ("torch", "scipy.fft", "scipy.integrate", "array_api_compat", "pytest"):
        __import__(name)  # once, for all the processes that fork from this one
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder).resolve() / str(i) for i in range(args.processes)]
        shutil.copytree(ROOT, copies[0], ignore=ABSENT)
        tests, seconds = fast_ones_first(copies[0], mirrored(module))
        for copy in copies[1:]:
            shutil.copytree(copies[0], copy)
        print(f"{len(mutants)} of {places} mutants (seed {args.seed}); {len(tests)} files of tests, {seconds:.0f} s")
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        found = fates(mutants, copies, tests, 10 + PATIENCE * seconds)
        for mutant, fate in tqdm(found, total=len(mutants), disable=None):  # shown on a terminal alone
            counts[mutant.file][fate] += 1
            if fate != "killed":
                tqdm.write(f"\n{fate}: {mutant.file}\n{mutant.diff()}")
                sys.stdout.flush()
        if os.waitpid(start(copies[0], tests), 0)[1]:
            sys.exit((copies[0] / "output").read_text() + "\nWithout a mutant these tests fail in their new order.")
    counts["all"] = sum(counts.values(), Counter())
    print(f"\n{'':44}  drawn  killed  survived  timed out")
    for file, of in counts.items():
        print(f"{file:44} {of.total():6} {of['killed']:7} {of['survived']:9} {of['timed out']:10}")


if __name__ == "__main__":
    main()
