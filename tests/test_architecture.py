"""The map of the house: which room may import which, and that the tree says so."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest

import subspace_sde

PACKAGE = Path(subspace_sde.__file__).parent
REPOSITORY = PACKAGE.parent

LAYERS = """
arrays         what the array API leaves open: coefficients, namespaces, checks of what is passed in
shown          how objects show themselves
files          files that are whole or not there, and the JSON in them
progress       a bar that shows how far a long call is
border         public calls hold their arguments against their annotations
conditions     what a score is given beside x and t
generic        a backend made of the standard alone
backend        plug-ins and randomness
derivatives    the product with a Jacobian, and that it is right
comparison     how a law is held against what was found
specification  objects by the arguments that made them: plain JSON, and equality
sdes           IsotropicSDE and its kinds (eqs. 1-3)
subspaces      Subspace and its kinds; NestedSubspaces (eq. 12)
scores         scores from the networks people have
losses         denoising score matching on any level (eq. 8)
oracles        data whose score is known
solvers        one solver a file
statistics     what is read off data: moments, complements (eq. 9, Table 1), principal components
divergence     eq. 14: with a network, without one, and where it crosses
process        SubspaceSDE (eqs. 4-11)
plotting       pictures of what was found
sampling       Algorithm 1: its times, its start, its laws
measurements   linear A
posterior      given y = A x + noise
likelihood     the probability flow: densities and latents
planning       which levels, and when
diffusers      networks and pipelines that people have
array_data     arrays of any shape, in memory or in files, to batches
images         photographs to batches
analysis       data to candidates to curves to a plan and its report
testing        the laws, for anybody's subspace, SDE, score, solver or backend
cli            the command line
"""
"""The rooms from the ground up: a module imports from lower rooms, and from its own, alone."""

ROOMS = [line.split()[0] for line in LAYERS.strip().splitlines()]
DOORS = {"__init__", "__main__"}  # they lead to all the rooms


def modules() -> dict[tuple[str, ...], Path]:
    """The place of every module, from the package's root, and its file."""
    return {path.relative_to(PACKAGE).with_suffix("").parts: path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(place: tuple[str, ...], path: Path) -> set[tuple[str, str]]:
    """The rooms that a module imports from, those for types too, each with the module or name in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if not node.level and (node.module or "").split(".")[0] != "subspace_sde":
                continue
            origin = place[: len(place) - node.level] if node.level else ()
            target = (*origin, *(node.module or "").removeprefix("subspace_sde").strip(".").split("."))
            target = tuple(part for part in target if part)
            found |= {(*target, alias.name, "")[:2] for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {(*name[1:], "", "")[:2] for name in names if name[0] == "subspace_sde"}
    return found


def room(place: tuple[str, ...]) -> str:
    return place[0]


def test_every_module_has_a_room_in_the_map():
    assert {room(place) for place in modules()} - DOORS == set(ROOMS)
    assert len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("place", [p for p in modules() if room(p) not in DOORS], ids=".".join)
def test_a_module_imports_from_lower_rooms_alone(place):
    floor = ROOMS.index(room(place))
    for target, name in imported(place, modules()[place]):
        if target in (room(place), "__version__"):
            continue
        assert target in ROOMS, f"{'.'.join(place)} imports {target!r}, which is no room"
        assert ROOMS.index(target) < floor, (
            f"{'.'.join(place)} imports {name} from {target}, which lies above {room(place)}"
        )


def test_within_a_room_no_modules_import_in_a_circle():
    files = modules()
    arrows = {}
    for place, path in files.items():
        inside = {name for target, name in imported(place, path) if target == room(place) and len(place) > 1}
        arrows[place] = {(room(place), name) for name in inside} & files.keys()
    left = dict(arrows)
    while ready := [place for place, targets in left.items() if not targets & left.keys()]:
        for place in ready:
            del left[place]
    assert not left, f"these import each other in a circle: {sorted('.'.join(place) for place in left)}"


def test_no_module_has_the_name_of_a_function_that_its_room_exports():
    for place in modules():
        if len(place) == 2 and place[1] != "__init__":
            module = __import__(f"subspace_sde.{place[0]}", fromlist=["__all__"])
            assert place[1] not in module.__all__, f"{'.'.join(place)} hides the function {place[1]}"


def test_a_room_exports_what_a_user_types_and_nothing_private():
    for name in {place[0] for place in modules() if len(place) > 1}:
        module = __import__(f"subspace_sde.{name}", fromlist=["__all__"])
        assert module.__doc__
        assert sorted(module.__all__) == list(dict.fromkeys(sorted(module.__all__)))
        for exported in module.__all__:
            assert not exported.startswith("_") and hasattr(module, exported)


def test_no_file_is_long():
    for folder in ("subspace_sde", "backends", "examples", "benchmarks", "tests", "docs"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            count = len(path.read_text().splitlines())
            assert count <= 400, f"{path.relative_to(REPOSITORY)} has {count} lines: part its subjects"


def test_contributing_shows_this_map():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    places = []
    for line in LAYERS.strip().splitlines():
        assert line in text, f"CONTRIBUTING.md lacks this line of the map: {line}"
        places.append(text.index(line))
    assert all(a < b for a, b in pairwise(places))
