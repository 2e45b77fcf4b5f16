"""Wrong versions of a source file: listed ones, and ones made from its syntax tree.

A mutant replaces one piece of a file's text by another, so that everything else stays as it was written.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MASKS = ("mask", "hole", "known", "missing", "unknown", "valid")
PAIRS = (("real", "fake"), ("truth", "made"), ("true", "made"), ("target", "inputs"))
"""Names that are easily taken for each other, each way round."""
NOT_SWAPPED = ("isinstance", "getattr", "hasattr", "zip", "range", "min", "max", "pow", "dict", "arange", "zeros")
REDUCED = {"mean": "sum", "sigmoid": "", "softmax": "", "log_softmax": "", "clamp": "", "clip": "", "round": ""}
"""Methods that bring values to a scale, and what stands in for them (nothing: they are left out)."""
FLIPPED = {ast.Lt: ">", ast.Gt: "<", ast.LtE: ">", ast.GtE: "<", ast.Eq: "!=", ast.NotEq: "=="}


@dataclass(frozen=True)
class Mutant:
    """`old`, which is in the file once at `start`, becomes `new`."""

    file: str
    start: int
    old: str
    new: str
    kind: str

    def apply(self, text: str) -> str:
        """The file's text with the change."""
        return text[:self.start] + self.new + text[self.start + len(self.old):]

    def described(self, text: str) -> str:
        """Where it is and what it changes."""
        line = text.count("\n", 0, self.start) + 1
        old, new = (" ".join(part.split()) for part in (self.old, self.new))
        return f"{self.file}:{line}  {self.kind}: `{_short(old)}` -> `{_short(new)}`"


def listed(file: str, text: str, entry: dict[str, Any]) -> Mutant:
    """A mutant of a list. Raises `ValueError` when its `old` is not exactly once in the file."""
    count = text.count(entry["old"])
    if count != 1:
        raise ValueError(f"{entry['old']!r} is {count} times in {file}; a mutant's `old` must be there once.")
    return Mutant(file, text.index(entry["old"]), entry["old"], entry["new"], entry["kind"])


def made(file: str, text: str, count: int, seed: int) -> list[Mutant]:
    """`count` mutants (fewer where the file has no more to change), of as many kinds as there are, drawn by `seed`."""
    draws = random.Random(f"{seed} {file}")
    by_kind: dict[str, list[Mutant]] = {}
    for mutant in dict.fromkeys(_Finder(file, text).all()):
        by_kind.setdefault(mutant.kind, []).append(mutant)
    for mutants in by_kind.values():
        draws.shuffle(mutants)
    chosen: list[Mutant] = []
    while len(chosen) < count and any(by_kind.values()):
        kinds = [kind for kind in by_kind if by_kind[kind]]
        draws.shuffle(kinds)
        chosen += [by_kind[kind].pop() for kind in kinds]
    return sorted(chosen[:count], key=lambda mutant: mutant.start)


class _Finder:
    """All the mutants that the rules below find in one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.raw = text.splitlines(keepends=True)

    def all(self) -> Iterator[Mutant]:
        """In the order of the tree; what is never run or only said (annotations, messages, docstrings) is left out."""
        yield from self._below(ast.parse(self.text), set())

    def _below(self, node: ast.AST, names: set[str]) -> Iterator[Mutant]:
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
            return
        if isinstance(node, ast.FunctionDef):
            names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        yield from self._at(node, names)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._below(child, names)

    def _at(self, node: ast.AST, names: set[str]) -> Iterator[Mutant]:
        if isinstance(node, ast.BinOp):
            yield from self._arithmetic(node)
        elif isinstance(node, ast.Call):
            yield from self._calls(node)
        elif isinstance(node, ast.Constant):
            yield from self._constants(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            yield from self._names(node, names)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in FLIPPED:
            yield self._between(node.left, node.comparators[0], FLIPPED[type(node.ops[0])], "turn a comparison")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            if not isinstance(node.operand, ast.Constant):  # -1 is mostly an axis
                yield self._mutant(node, f"({self._source(node.operand)})", "drop a minus")
        elif isinstance(node, ast.IfExp) and not isinstance(node.test, ast.Compare):
            yield self._mutant(node.test, f"not ({self._source(node.test)})", "turn a condition")

    def _names(self, node: ast.Name | ast.Attribute, names: set[str]) -> Iterator[Mutant]:
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "context" and node.attr in ("target", "inputs"):
                yield self._mutant(node, "context.inputs" if node.attr == "target" else "context.target",
                                   "exchange a name")
            return
        if not isinstance(node.ctx, ast.Load):
            return
        if node.id in MASKS:
            yield self._mutant(node, f"(1 - {node.id})", "negate a mask")
        for one, other in (*PAIRS, *(pair[::-1] for pair in PAIRS)):
            if node.id == one and other in names:
                yield self._mutant(node, other, "exchange a name")

    def _arithmetic(self, node: ast.BinOp) -> Iterator[Mutant]:
        left, right = (f"({self._source(side)})" if isinstance(side, ast.BinOp) else self._source(side)
                       for side in (node.left, node.right))
        if any(isinstance(side, ast.JoinedStr | ast.List | ast.Tuple)
               or (isinstance(side, ast.Constant) and isinstance(side.value, str)) for side in (node.left, node.right)):
            return
        if isinstance(node.op, ast.Add):
            yield self._between(node.left, node.right, "-", "swap + and -")
            yield self._mutant(node, left, "drop a term")
            yield self._mutant(node, right, "drop a term")
        elif isinstance(node.op, ast.Sub):
            yield self._between(node.left, node.right, "+", "swap + and -")
            if isinstance(node.left, ast.Constant) and node.left.value == 1:
                yield self._mutant(node, f"({right})", "negate a mask")
        elif isinstance(node.op, ast.Mult):
            yield self._mutant(node, left, "drop a factor")
            yield self._mutant(node, right, "drop a factor")
        elif isinstance(node.op, ast.Div):
            yield self._mutant(node, left, "drop a normalisation")

    def _calls(self, node: ast.Call) -> Iterator[Mutant]:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute):
            inner = self._source(node.func.value)
            if name == "detach":
                yield self._mutant(node, inner, "drop a detach")
            if name in REDUCED and inner not in ("torch", "np", "F", "functional"):
                instead = REDUCED[name]
                tail = self.text[self._end(node.func):self._end(node)]
                yield self._mutant(node, f"{inner}.{instead}{tail}" if instead else inner, "drop a normalisation")
        arguments = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
        if len(arguments) < 2 or len(arguments) < len(node.args) or name[:1].isupper() or name in NOT_SWAPPED:
            return
        for one, other in {(arguments[0], arguments[1]), (arguments[-2], arguments[-1])}:
            first, second = self._source(one), self._source(other)
            if first != second and not any(isinstance(side, ast.Constant | ast.JoinedStr) for side in (one, other)):
                start, end = self._start(one), self._end(other)
                middle = self.text[self._end(one):self._start(other)]
                yield Mutant(self.file, start, self.text[start:end], f"{second}{middle}{first}", "swap two arguments")

    def _constants(self, node: ast.Constant) -> Iterator[Mutant]:
        if isinstance(node.value, bool):
            yield self._mutant(node, str(not node.value), "turn a flag")
        elif isinstance(node.value, float) and node.value:
            yield self._mutant(node, repr(node.value * 10), "change a constant tenfold")
        elif node.value == "real":
            yield self._mutant(node, '"fake"', "exchange a name")
        elif node.value == "fake":
            yield self._mutant(node, '"real"', "exchange a name")

    def _mutant(self, node: ast.AST, new: str, kind: str) -> Mutant:
        return Mutant(self.file, self._start(node), self._source(node), new, kind)

    def _between(self, left: ast.AST, right: ast.AST, operator: str, kind: str) -> Mutant:
        """Another operator between two operands, whose brackets stay."""
        start, end = self._end(left), self._start(right)
        old = self.text[start:end]
        symbol = old.strip("() \n\\\t")
        at = old.index(symbol)
        return Mutant(self.file, start + at, symbol, operator, kind)

    def _source(self, node: ast.AST) -> str:
        return self.text[self._start(node):self._end(node)]

    def _start(self, node: Any) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _end(self, node: Any) -> int:
        return self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        """The tree counts columns in bytes."""
        return self.lines[line - 1] + len(self.raw[line - 1].encode()[:column].decode())


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else f"{text[:most - 3]}..."
