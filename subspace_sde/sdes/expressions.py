"""Formulas in t as sympy has them: a closed set of kinds, as plain JSON and as functions for every array library.

Nothing that is read is ever evaluated as text: a file holds nested lists, ``["mul", ["rational", -1, 2], ["t"]]``, and
each list names one of the kinds below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from ..arrays import elementary

Tree: TypeAlias = Any
"""A number, or a list: a kind and its operands, of which ``"t"``, ``"pi"`` and ``"e"`` have none."""

_FUNCTIONS = "exp log sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh".split()
_OPERATIONS = {"add": "Add", "mul": "Mul", "pow": "Pow", **{name: name for name in _FUNCTIONS}}
_MOST_OPERATIONS, _LARGEST_EXPONENT, _MOST_BITS = 2000, 1000, 4096  # more than any schedule; less than a second


def sympy_of(what: str) -> Any:
    """The module sympy, or a sentence that says how to get it."""
    try:
        import sympy
    except ImportError:
        raise ImportError(f'{what} needs sympy: pip install "subspace-sde[symbolic]"') from None
    return sympy


def formula(name: str, given: Any, t: Any) -> Any:
    """`given`, a sympy expression in a symbol called t, a number, or the `Tree` of one, as an expression in `t`.

    Raises TypeError for a string, which sympy would evaluate as Python code, and anything else; ValueError for other
    symbols than t, and for what array libraries do not have.
    """
    sympy = sympy_of("an SDE from symbols")
    if isinstance(given, list):
        return _read(name, given, t)
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        given = sympy.sympify(given)
    if not isinstance(given, sympy.Expr):
        reason = ": a string would be evaluated as Python code" if isinstance(given, str) else ""
        got = repr(given) if isinstance(given, str) else type(given).__name__
        raise TypeError(f"`{name}` takes a sympy expression in t, such as sympy.exp(-t), got {got:.60}{reason}")
    others = sorted(str(symbol) for symbol in given.free_symbols if symbol.name != "t")
    if others:
        raise ValueError(
            f"`{name}` has other symbols than t: {', '.join(others)}; put numbers in their place first, by "
            f".subs({others[0]}, 0.1) say"
        )
    expression = given.xreplace({symbol: t for symbol in given.free_symbols})
    written(name, expression)
    return expression


def written(name: str, e: Any) -> Tree:
    """The `Tree` of an expression; a ValueError where a part of it is none of the closed set."""
    sympy = sympy_of("an SDE from symbols")
    if e.is_Symbol:
        return ["t"]
    if e is sympy.pi or e is sympy.E:
        return ["pi" if e is sympy.pi else "e"]
    if e.is_Integer:
        return int(e)
    if e.is_Rational:
        return ["rational", int(e.p), int(e.q)]
    if e.is_Float:
        return float(e)
    kind = {getattr(sympy, of): kind for kind, of in _OPERATIONS.items()}.get(e.func)
    if kind is None:
        raise ValueError(
            f"`{name}` holds {e!s:.60}, which array libraries do not have: there are sums, products, powers, sqrt, pi, "
            f"{', '.join(_FUNCTIONS)}"
        )
    return [kind, *(written(name, part) for part in e.args)]


def _read(name: str, tree: Tree, t: Any) -> Any:
    """The expression of a tree, made part by part; numbers that sympy would take for ever to work out are refused."""
    sympy = sympy_of("an SDE from symbols")
    left = _MOST_OPERATIONS

    def refuse(why: str) -> Any:
        raise ValueError(f"`{name}` is no formula: {why}")

    def number(kind: str, values: list[float]) -> float:
        try:
            if kind == "pow":
                found: Any = values[0] ** values[1]
            elif kind in ("add", "mul"):
                found = math.fsum(values) if kind == "add" else math.prod(values)
            else:
                found = getattr(math, kind)(values[0])
            found = math.nan if isinstance(found, complex) else found
        except (ArithmeticError, ValueError):
            found = math.nan
        return float(found) if math.isfinite(found) else float(refuse(f"{kind} of {values} is no finite real number"))

    def read(node: Tree) -> tuple[Any, float | None]:
        """An expression, and its value where it is constant."""
        nonlocal left
        left -= 1
        if left < 0:
            refuse(f"it has more than {_MOST_OPERATIONS:,} parts")
        if isinstance(node, (int, float)) and not isinstance(node, bool) and abs(node) < 1e300:
            return sympy.sympify(node), float(node)
        if not (isinstance(node, list) and node and isinstance(node[0], str)):
            return refuse(f"it holds {node!r:.60}"), None
        if node in (["t"], ["pi"], ["e"]):
            return {"t": (t, None), "pi": (sympy.pi, math.pi), "e": (sympy.E, math.e)}[node[0]]
        kind, parts = node[0], [read(part) for part in node[1:]]
        values = [value for _, value in parts if value is not None]
        if kind == "rational" and [p.is_Integer for p, _ in parts] == [True] * 2 and values[1] != 0:
            return sympy.Rational(*(p for p, _ in parts)), values[0] / values[1]
        if kind not in _OPERATIONS or len(parts) != {"pow": 2, "add": len(parts), "mul": len(parts)}.get(kind, 1):
            return refuse(f"there is no {kind!r:.60} of {len(parts)} operands"), None
        if kind == "pow" and parts[1][1] is not None and abs(parts[1][1]) > _LARGEST_EXPONENT:
            refuse(f"the exponent {parts[1][1]:g} is larger than {_LARGEST_EXPONENT}")
        value = number(kind, values) if len(values) == len(parts) else None
        made = getattr(sympy, _OPERATIONS[kind])(*(part for part, _ in parts))
        if made.is_Rational and max(int(made.p).bit_length(), int(made.q).bit_length()) > _MOST_BITS:
            refuse(f"a number in it has more than {_MOST_BITS} bits")
        return made, value

    return read(tree)[0]


@cache
def function(expression: Any) -> Callable[[Any], Any]:
    """The expression, of one symbol, as a function of a float or an array of any library.

    What lambdify writes calls `exp`, `log`, ... of the namespace that the array brings along; e^u − 1 and log(1 + u) do
    not cancel.

    >>> import numpy as np, sympy
    >>> t = sympy.Symbol("t")
    >>> half = function(1 - sympy.exp(-t))
    >>> half(1e-20), half(np.zeros(2, dtype=np.float32)).dtype
    (1e-20, dtype('float32'))
    """
    sympy = sympy_of("an SDE from symbols")
    if not expression.free_symbols:
        value = float(expression)
        return lambda t: value + 0.0 * t
    (symbol,) = expression.free_symbols
    names = {name: elementary(name) for name in (*_FUNCTIONS, "expm1", "log1p", "sqrt")}
    chosen = _precise(expression)
    # passed in: printed, a float would lose its last digits, and torch takes no integer of more than 64 bits
    exact = [n for n in chosen.atoms(sympy.Float, sympy.Integer) if n.is_Float or abs(n) >= 2**53]
    constants = {n: sympy.Dummy() for n in exact}
    made = sympy.lambdify(
        (symbol, *constants.values()), chosen.xreplace(constants), modules=[{**names, "pi": math.pi, "e": math.e}]
    )
    floats = [float(n) for n in exact]
    return lambda t: made(t, *floats)


def _precise(expression: Any) -> Any:
    """The expression with c·(e^u − 1) and log(1 + u) by functions that keep their digits for small u."""
    sympy = sympy_of("an SDE from symbols")
    from sympy.codegen.cfunctions import expm1, log1p

    def shifted(total: Any) -> Any:
        constant, rest = total.as_coeff_Add()
        for term in sympy.Add.make_args(rest):
            factor, power = term.as_coeff_Mul()
            if constant and factor == -constant and power.func is sympy.exp:
                return rest - term + factor * expm1(*power.args)
        return total

    found = expression.replace(lambda e: e.is_Add, shifted)
    return found.replace(
        lambda e: e.func is sympy.log and e.args[0].as_coeff_Add()[0] == 1, lambda e: log1p(e.args[0] - 1)
    )
