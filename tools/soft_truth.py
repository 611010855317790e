"""True values for the Rust tests of the soft-label losses.

    python tools/soft_truth.py > tests/core/soft/truth.txt

Everything is computed with 600 digits (logits beside which exp is tiny take them) by mpmath from the
definitions of the losses, derivatives by numerical differentiation of the value's definition at that
precision. Numbers are printed as the bits of float64.
"""

import random
import struct

from mpmath import mp, mpf

GAMMAS = (0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0)


def bits(x):
    """The bits of the nearest float64."""
    return struct.pack(">d", float(x)).hex()


def sides(x, probabilities):
    """p and q = 1 - p, both to full precision."""
    return (x, 1 - x) if probabilities else (1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x)))


def entropy(x, y, probabilities):
    """The cross entropy."""
    p, q = sides(x, probabilities)
    return -(y * mp.log(p) if y else 0) - ((1 - y) * mp.log(q) if y != 1 else 0)


def factor(meaning, x, y, gamma, probabilities):
    """The modulating factor."""
    p, q = sides(x, probabilities)
    return (y * q + (1 - y) * p if meaning != "quality" else abs(p - y)) ** gamma


def terms(meaning, y, negative, positive):
    """(weight, label) of the losses with a modulating factor that the loss is a sum of."""
    if meaning == "expected":
        return [(y * positive, mpf(1)), ((1 - y) * negative, mpf(0))]
    return [(y * positive + (1 - y) * negative, y)]


def derivatives(function, x):
    """The value at x and two derivatives."""
    return [mp.diff(function, x, n) for n in range(3)]


def surrogate(meaning, x, y, gamma, negative, positive):
    """The Gauss-Newton Hessian: y p |f'(x)| and (1 - y) q |f'(-x)|, weighted."""
    p, q = sides(x, False)

    def descent(p, q):
        return q**gamma * (q - gamma * p * mp.log(p))

    if meaning != "expected":
        negative = positive = y * positive + (1 - y) * negative
    return positive * y * p * descent(p, q) + negative * (1 - y) * q * descent(q, p)


def draw(meaning, probabilities, near):
    """A label and a logit or a probability, `near`: where `quality` is nearly singular."""
    y = random.choice([0.0, 1.0, random.random(), random.random(), 2.0 ** -random.uniform(3, 40)])
    x = random.gauss(0, random.choice([2, 8, 60, 250]))
    if probabilities:
        x = random.choice([random.random(), 2.0 ** -random.uniform(3, 60), 1 - 2.0 ** -random.randint(3, 50)])
    if meaning == "quality" and near:
        x = x if probabilities else random.gauss(0, 6)
        y = float(sides(mpf(x), probabilities)[0]) * (1 - 2.0 ** -random.uniform(2, 20))
    return x, y


def main():
    """Print a row for each case.

    Meaning, probabilities or logits, gamma, smoothing, weights of negatives and positives, x, y; then value,
    gradient and Hessian of the loss, the same of the modulating factor (0 for `expected`), and the
    Gauss-Newton Hessian (0 for probabilities).
    """
    mp.dps = 600
    random.seed(2)
    cases = [(m, p, g) for m in ("mixture", "expected", "quality") for p in (0, 1) for g in GAMMAS]
    for meaning, probabilities, gamma in cases:
        for i in range(9):
            smoothing = random.choice([0.0, 0.0, 0.1])
            negative, positive = random.choice([(1.0, 1.0), (0.75, 0.25)])
            x, y = draw(meaning, probabilities, i < 3)
            label = mpf(y) * (1 - mpf(smoothing)) + mpf(smoothing) / 2
            parts = terms(meaning, label, negative, positive)

            def value(x, parts=parts, meaning=meaning, gamma=gamma, probabilities=probabilities):
                return sum(
                    weight * factor(meaning, x, y, gamma, probabilities) * entropy(x, y, probabilities)
                    for weight, y in parts
                    if weight
                )

            def modulation(x, y=label, meaning=meaning, gamma=gamma, probabilities=probabilities):
                return factor(meaning, x, y, gamma, probabilities)

            row = derivatives(value, mpf(x))
            row += [0, 0, 0] if meaning == "expected" else derivatives(modulation, mpf(x))
            row.append(0 if probabilities else surrogate(meaning, mpf(x), label, gamma, negative, positive))
            numbers = [gamma, smoothing, negative, positive, x, y, *row]
            print(meaning, probabilities, *(bits(number) for number in numbers))


if __name__ == "__main__":
    main()
