"""Derive the polynomial coefficients and the constants of the SIMD kernels.

    python tools/coefficients.py                    print the Rust source
    python tools/coefficients.py --check FILE...    compare Rust files with it

Two functions are approximated, each once for f32 and once for f64, the second
on two intervals:

    exp(r)   = 1 + r + r^2 P(r)     for |r| <= ln(2)/2 (1 + 2^-10)
    log1p(e) =     e + e^2 S(e)     for 0 < e <= 1
    log1p(f) =     f + f^2 S(f)     for |f| <= sqrt(2) - 1

P and S minimise the largest relative error of the whole right-hand side.
They are found with the Remez exchange algorithm.  The coefficients are then
rounded to the target format one at a time, the lowest degree first; after
each rounding the exchange is run again for the coefficients still free, so
that they absorb most of what the rounding cost.  The degree is the smallest
one whose rounded polynomial has a relative error below 2^-27 (f32) or 2^-56
(f64).  These are the errors of the polynomial in exact arithmetic; evaluating
it in the target format adds the usual rounding errors.

With the coefficients below degree m fixed, what remains is an approximation
by r^m, ..., r^n, all over the function, which itself may vanish at 0.  For odd
m (for even m, if the function has a simple zero) they all change sign there.
The minimax error then alternates only after multiplication by that sign, so the
exchange works on that product throughout.

The constants split ln(2) into LN2_HI + LN2_LO, where LN2_HI has so few
significant bits that n * LN2_HI is exact for every exponent n of the format
(Cody and Waite's argument reduction).

Sources: E. Remez, Sur le calcul effectif des polynomes d'approximation de
Tchebichef, 1934; J.-M. Muller, Elementary Functions: Algorithms and
Implementation, 3rd ed., 2016 (minimax polynomials, argument reduction).
"""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from mpmath import mp, mpf


@dataclass(frozen=True)
class Format:
    """A binary floating-point format and what the kernels ask of it."""

    name: str
    bits: int  # significant bits
    digits: int  # decimal digits that always suffice to round-trip
    target: int  # the relative error has to be below 2^target
    hi_bits: int  # significant bits of LN2_HI

    def round(self, value):
        """Round a number, or a decimal string, to the nearest of the format."""
        with mp.workprec(self.bits):
            return mpf(value) if isinstance(value, str) else +value

    def literal(self, value):
        """The shortest Rust literal that reads back as `value`."""
        texts = (f"{float(value):.{n}e}" for n in range(self.digits))
        text = next(text for text in texts if self.round(text) == value)
        mantissa, exponent = text.split("e")
        if int(exponent) >= -4:
            mantissa, exponent = f"{Decimal(text):f}", "0"
        whole, _, fraction = mantissa.partition(".")
        suffix = f"e{int(exponent)}" if int(exponent) else ""
        return f"{whole}.{'_'.join(re.findall(r'[0-9]{1,3}', fraction or '0'))}{suffix}"


@dataclass(frozen=True)
class Problem:
    """Approximate `function` on [low, high] by head[0] + head[1] r + r^2 (...)."""

    name: str
    function: Callable
    head: list
    low: mpf
    high: mpf

    @property
    def zeros(self):
        """The order of the function's zero at 0."""
        return next(i for i, coefficient in enumerate(self.head) if coefficient)


def drop_surplus(peaks, count):
    """Reduce alternating (x, error) peaks to `count`, keeping the largest ones."""
    while len(peaks) > count:
        i = min(range(len(peaks)), key=lambda k: abs(peaks[k][1]))
        if 0 < i < len(peaks) - 1 and len(peaks) - count >= 2:  # with its smaller neighbour
            j = min(i - 1, i + 1, key=lambda k: abs(peaks[k][1]))
            del peaks[min(i, j) : max(i, j) + 1]
        else:
            peaks.pop(0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1)


class Fit:
    """Minimax fit by a polynomial with `degree`, searched on `size` + 1 grid points."""

    def __init__(self, problem, degree, size):
        self.problem, self.degree = problem, degree
        nodes = self.chebyshev([mp.pi * k / size for k in range(size + 1)])
        self.grid = [(x, problem.function(x)) for x in nodes if abs(x) > mpf("1e-12")]

    def chebyshev(self, angles):
        low, high = self.problem.low, self.problem.high
        return [(low + high) / 2 - (high - low) / 2 * mp.cos(angle) for angle in angles]

    def sign(self, x, m):
        """The sign that x^m, over the function, takes at x."""
        return mp.sign(x) ** (m - self.problem.zeros)

    def extrema(self, coefficients, m=0):
        """(x, signed relative error) of the largest error of each run of equal sign."""
        backwards = coefficients[::-1]

        def signed(x, value=None):
            value = self.problem.function(x) if value is None else value
            return (mp.polyval(backwards, x) / value - 1) * self.sign(x, m)

        errors = [signed(x, value) for x, value in self.grid]
        peaks = []  # grid indices
        for i, e in enumerate(errors):
            if not peaks or (e > 0) != (errors[peaks[-1]] > 0):
                peaks.append(i)
            elif abs(e) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        return [self.refine(signed, i, errors[i]) for i in peaks]

    def refine(self, signed, i, e):
        """Approach the extremum near grid point i by parabolas of shrinking width."""
        x = self.grid[i][0]
        if not 0 < i < len(self.grid) - 1:
            return x, e
        h = min(x - self.grid[i - 1][0], self.grid[i + 1][0] - x) / 2
        for _ in range(4):
            if x - h < self.problem.low or x + h > self.problem.high or abs(x) <= h:
                break
            left, right = signed(x - h), signed(x + h)
            curvature = left - 2 * e + right
            vertex = x + max(-h, min(h, h * (left - right) / (2 * curvature) if curvature else h))
            tries = (x, e), (x - h, left), (x + h, right), (vertex, signed(vertex))
            x, e = max((t for t in tries if t[1] * e > 0), key=lambda t: abs(t[1]))
            h /= 8
        return x, e

    def solve(self, fixed, points):
        """Coefficients whose error at `points` is levelled and alternates."""
        m, count = len(fixed), len(points)
        matrix, right = mp.matrix(count), mp.matrix(count, 1)
        for i, x in enumerate(points):
            value = self.problem.function(x)
            for j in range(count - 1):
                matrix[i, j] = x ** (m + j) / value
            matrix[i, count - 1] = (-1) ** i * self.sign(x, m)
            right[i] = 1 - mp.polyval(fixed[::-1], x) / value
        return fixed + list(mp.lu_solve(matrix, right))[:-1]

    def remez(self, fixed, guess=None):
        """Best coefficients that begin with `fixed`, by Remez exchange.

        It starts from the extrema of the polynomial `guess`, or from Chebyshev
        points.  No polynomial does better than the smallest error of an
        alternation (de la Vallee Poussin), so it ends once the best one found
        is within 1 % of the largest such bound.
        """
        count = self.degree - len(fixed) + 2
        peaks = self.extrema(guess, len(fixed)) if guess else []
        drop_surplus(peaks, count)
        points = [x for x, _ in peaks]
        if len(points) < count:  # slightly shifted: 0 must not be one of them
            scale = mp.pi / (count + mpf("0.1"))
            points = self.chebyshev([(k + mpf("0.6")) * scale for k in range(count)])
        bound, smallest, best = mpf(0), mp.inf, None
        for _ in range(100):
            coefficients = self.solve(fixed, points)
            peaks = self.extrema(coefficients, len(fixed))
            largest = max(abs(e) for _, e in peaks)
            if largest < smallest:
                smallest, best = largest, coefficients
            drop_surplus(peaks, count)
            if len(peaks) < count:
                break
            bound = max(bound, min(abs(e) for _, e in peaks))
            if smallest < bound * mpf("1.01"):
                return best
            points = [x for x, _ in peaks]
        raise ArithmeticError(f"{self.problem.name}: the exchange does not converge")


def rounded_fit(problem, fmt, degree):
    """Coefficients of P or S in the format; log2 of the error before and after rounding."""
    fit = Fit(problem, degree + 2, 16 * (degree + 2))
    fixed = list(problem.head)
    coefficients = exact = fit.remez(fixed)
    for k in range(2, degree + 3):
        if k > 2:
            coefficients = fit.remez(fixed, fixed + coefficients[k:])
        fixed.append(fmt.round(coefficients[k]))
    fine = Fit(problem, degree + 2, 2000)
    errors = [max(abs(e) for _, e in fine.extrema(c)) for c in (exact, fixed)]
    return fixed[2:], *(mp.log(error, 2) for error in errors)


def derive(formats, problems, report):
    """Return all numbers as (name, format, value), and print the Rust source if `report`."""
    numbers = []
    emit = print if report else lambda *args, **kwargs: None
    for fmt in formats:
        with mp.workprec(fmt.hi_bits):
            high = mp.log(2)
        for name, value in (("LN2_HI", high), ("LN2_LO", fmt.round(mp.log(2) - high))):
            name = f"{name}_{fmt.name.upper()}"
            numbers.append((name, fmt, value))
            emit(f"pub const {name}: {fmt.name} = {fmt.literal(value)};")
        path = f"core::{fmt.name}::consts::LOG2_E"  # clippy refuses a literal here
        emit(f"pub const LOG2E_{fmt.name.upper()}: {fmt.name} = {path};")
    for problem in problems:
        for fmt in formats:
            name = f"{problem.name}_{fmt.name.upper()}"
            fits = (rounded_fit(problem, fmt, degree) for degree in range(2, 40))
            fit = next(fit for fit in fits if fit[2] < fmt.target)
            numbers += [(name, fmt, c) for c in fit[0]]
            degree = len(fit[0]) - 1
            for d in (degree - 1, degree, degree + 1) if report else ():
                _, exact, rounded = fit if d == degree else rounded_fit(problem, fmt, d)
                comment = f"relative error 2^{float(exact):.2f}, rounded 2^{float(rounded):.2f}"
                emit(f"// degree {d}: {comment}{', chosen' if d == degree else ''}")
            emit(f"pub const {name}: [{fmt.name}; {degree + 1}] = [")
            emit("".join(f"    {fmt.literal(c)},\n" for c in fit[0]) + "];", flush=True)
    return numbers


def missing_numbers(numbers, files):
    """Those of `numbers` that no literal in the Rust files stands for."""
    text = re.sub(r"//.*", "", "\n".join(Path(f).read_text(encoding="utf-8") for f in files))
    found = re.findall(r"-?\b\d[\d_]*\.\d[\d_]*(?:e[+-]?\d+)?", text)
    known = set()
    for fmt in {fmt for _, fmt, _ in numbers}:
        for literal in (literal.replace("_", "") for literal in found):
            # A literal with more digits than the format can use belongs to a wider one.
            if len(Decimal(literal).as_tuple().digits) <= fmt.digits:
                known.add((fmt, fmt.round(literal)))
    return [number for number in numbers if number[1:] not in known]


def main():
    parser = argparse.ArgumentParser(description="Derive the coefficients of the SIMD kernels.")
    parser.add_argument("--check", nargs="+", metavar="FILE", help="Rust files to compare")
    args = parser.parse_args()
    mp.dps = 60
    formats = (Format("f32", 24, 9, -27, 24 - 9), Format("f64", 53, 17, -56, 53 - 12))
    reach = mp.log(2) / 2 * (1 + mpf(2) ** -10)
    problems = (
        Problem("EXP", mp.exp, [mpf(1), mpf(1)], -reach, reach),
        Problem("LOG1P", mp.log1p, [mpf(0), mpf(1)], mpf(0), mpf(1)),
        Problem("LOG", mp.log1p, [mpf(0), mpf(1)], 1 - mp.sqrt(2), mp.sqrt(2) - 1),
    )
    numbers = derive(formats, problems, report=not args.check)
    missing = missing_numbers(numbers, args.check) if args.check else []
    for name, fmt, value in missing:
        print(f"missing: {name}: {fmt.literal(value)}")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
