"""A numba type for a SIMD register: 64 bytes of floats, one replica per lane.

Loops over replicas inside a kernel are vectorised by hand, because LLVM cannot prove that the arrays of a numba
kernel do not overlap. LLVM lowers these vectors to whatever the machine has (AVX-512, AVX2, SSE, NEON). Every
operation acts on each lane alone, so a lane's value does not depend on its neighbours.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# numba and llvmlite publish no types, and what is decorated here is compiled by numba instead of being called.

from __future__ import annotations

from typing import Any, no_type_check

from llvmlite import ir  # type: ignore[import-untyped]  # no stubs are published
from numba import types
from numba.extending import intrinsic, models, register_model

BYTES = 64
"""Size of a register; arrays of lanes start at multiples of it."""


@no_type_check
class Lanes(types.Type):
    """The numba type of a register of floats of type `scalar`."""

    def __init__(self, scalar: Any) -> None:
        self.scalar = scalar
        self.count = 8 * BYTES // scalar.bitwidth
        super().__init__(name=f"Lanes({scalar})")


@no_type_check
@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    """Lanes are stored as an LLVM vector."""

    def __init__(self, manager, lanes):
        scalar = manager.lookup(lanes.scalar).get_value_type()
        super().__init__(manager, lanes, ir.VectorType(scalar, lanes.count))


@no_type_check
def _pointer(context, builder, array_type, array, row, vector):
    """Return the address of register number `row` of a contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.mul(row, ir.Constant(row.type, vector.count))
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


@no_type_check
@intrinsic
def load(typing_context, array, row):
    """Return register number `row` of an aligned, contiguous, one-dimensional array."""
    lanes = Lanes(array.dtype)

    def generate(context, builder, signature, args):
        vector = context.get_value_type(lanes)
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], vector)
        return builder.load(pointer, align=BYTES)

    return lanes(array, types.intp), generate


@no_type_check
@intrinsic
def store(typing_context, array, row, value):
    """Write a register to place `row` of an aligned, contiguous, one-dimensional array."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], pointer, align=BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@no_type_check
@intrinsic
def splat(typing_context, like, scalar):
    """Return a register of the type of `like` that holds `scalar` in every lane."""

    def generate(context, builder, signature, args):
        vector = context.get_value_type(signature.args[0])
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
        blank = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(blank, args[1], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, blank, zeros)

    return like(like, like.scalar), generate


@no_type_check
def _call(builder, name, *args):
    """Call the LLVM intrinsic `name` on vectors."""
    vector = args[0].type
    bits = 32 if isinstance(vector.element, ir.FloatType) else 64
    function = ir.FunctionType(vector, [vector] * len(args))
    overloaded = f"llvm.{name}.v{vector.count}f{bits}"
    return builder.call(builder.module.declare_intrinsic(overloaded, (), function), args)


@no_type_check
def _binary(instruction, doc):
    """Return the intrinsic of an LLVM instruction on two registers."""

    @intrinsic
    def operation(typing_context, x, y):
        return x(x, x), lambda context, builder, signature, args: getattr(builder, instruction)(*args)

    operation.__doc__ = doc
    return operation


add = _binary("fadd", "x + y.")
sub = _binary("fsub", "x − y.")
mul = _binary("fmul", "x y.")
div = _binary("fdiv", "x / y.")


@no_type_check
@intrinsic
def fma(typing_context, x, y, z):
    """Return x y + z, rounded once where the machine has a fused instruction and twice where it has none."""
    return x(x, x, x), lambda context, builder, signature, args: _call(builder, "fmuladd", *args)


@no_type_check
@intrinsic
def negative_abs(typing_context, x):
    """Return −|x|."""
    return x(x), lambda context, builder, signature, args: builder.fneg(_call(builder, "fabs", *args))


@no_type_check
@intrinsic
def at_least(typing_context, x, bound):
    """Return max(x, bound), a NaN in x kept."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_unordered(">", *args), *args)

    return x(x, x), generate


@no_type_check
@intrinsic
def where_negative(typing_context, x, negative, otherwise):
    """Return `negative` in the lanes where x < 0 and `otherwise` elsewhere."""

    def generate(context, builder, signature, args):
        below = builder.fcmp_ordered("<", args[0], ir.Constant(args[0].type, None))
        return builder.select(below, args[1], args[2])

    return x(x, x, x), generate


@no_type_check
@intrinsic
def where_positive(typing_context, x, positive):
    """Return `positive` in the lanes where x > 0 and zero elsewhere."""

    def generate(context, builder, signature, args):
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], zero)

    return x(x, x), generate


@no_type_check
@intrinsic
def exponent_of_shifted(typing_context, shifted):
    """Return 2^n for a register that holds n + 1.5·2^(digits of the mantissa), n in the normal range.

    Adding that constant leaves n in the last bits of the mantissa; they are moved to the exponent.
    """

    def generate(context, builder, signature, args):
        vector = args[0].type
        bits, mantissa, bias = (32, 23, 127) if isinstance(vector.element, ir.FloatType) else (64, 52, 1023)
        integers = ir.VectorType(ir.IntType(bits), vector.count)
        moved = builder.shl(builder.bitcast(args[0], integers), ir.Constant(integers, [mantissa] * vector.count))
        biased = builder.add(moved, ir.Constant(integers, [bias << mantissa] * vector.count))
        return builder.bitcast(biased, vector)

    return shifted(shifted), generate
