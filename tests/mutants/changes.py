"""Changes of one place in a Python file, such as a slip makes: an operator, a comparison, a number, a condition.

Left out, as no test should depend on them: annotations, decorators, what a `raise` says; the `strict` of a zip, which
asserts what holds.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Break: (ast.Continue,),
    ast.Continue: (ast.Break,),
}


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What a slip may put in a node's place."""
    for other in _OPERATORS.get(type(node), ()):
        yield other()
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BoolOp(values=values):
            for k in range(len(values)):
                rest = values[:k] + values[k + 1 :]
                yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
        case ast.If():
            for test in (ast.UnaryOp(ast.Not(), node.test), ast.Constant(False)):
                yield ast.If(test, node.body, node.orelse)
        case ast.While():
            yield ast.While(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.For():
            yield ast.For(node.target, ast.Tuple([], ast.Load()), node.body, node.orelse)
        case ast.comprehension(ifs=[_, *_]):
            yield ast.comprehension(node.target, node.iter, [], node.is_async)


@dataclass(frozen=True)
class Mutant:
    """A file with one change: the number of the change in it, its line, whether in a function, what is put for what."""

    file: str
    number: int
    line: int
    inside: bool
    change: str

    def text(self, source: str) -> str:
        """Return the text of the file with the change, its comments lost."""
        tree = ast.parse(source)
        next(itertools.islice(changes(tree), self.number, None))
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants(file: str, source: str) -> list[Mutant]:
    """Return all mutants of a file."""
    return [
        Mutant(file, number, line, inside, f"{_told(node)} → {_told(other)}")
        for number, (line, inside, node, other) in enumerate(changes(ast.parse(source)))
    ]


def changes(tree: ast.AST) -> Iterator[tuple[int, bool, ast.AST, ast.AST]]:
    """Make one change after the other in a tree, each undone before the next: line, whether in a function, old, new."""
    for parent, field, index, line, inside in list(_places(tree, 0, False)):
        nodes = getattr(parent, field) if index is not None else [getattr(parent, field)]
        node = nodes[index or 0]
        for other in (*alternatives(node), node):
            nodes[index or 0] = other
            setattr(parent, field, nodes if index is not None else other)
            if other is not node:
                yield line, inside, node, other


def _places(parent: ast.AST, line: int, inside: bool) -> Iterator[tuple[ast.AST, str, int | None, int, bool]]:
    """Fields, or items of fields that are lists, of all nodes that count; with the line, and whether in a function."""
    if isinstance(parent, ast.Raise) or (isinstance(parent, ast.keyword) and parent.arg == "strict"):
        return
    line = getattr(parent, "lineno", line)
    for field, value in ast.iter_fields(parent):
        if field not in {"annotation", "returns", "decorator_list"}:
            within = inside or (field == "body" and isinstance(parent, ast.FunctionDef | ast.Lambda))
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST):
                    yield parent, field, index, getattr(child, "lineno", line), within
                    yield from _places(child, line, within)


def _told(node: ast.AST) -> str:
    """A node in a few words: an operator by its name, a statement by its condition or what it iterates over."""
    node = getattr(node, "test", getattr(node, "iter", node)) if isinstance(node, ast.stmt) else node
    return ast.unparse(ast.fix_missing_locations(node)) or type(node).__name__
