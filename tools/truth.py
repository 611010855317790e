"""Compute the values that the tests' oracles are measured against.

    python tools/truth.py > tests/core/oracle/truth.txt

Each line has gamma, the logit z, and then f, f' and f'' of the focal loss, each as three numbers: a
mantissa between 1 and 2 in two float64 parts (together some 106 bits), and a binary exponent.  They are
computed with mpmath to 60 digits from f = (1 - p)^g L, its derivative and its second derivative written
out in p = sigmoid(z), q = 1 - p and L = log(1 + exp(-z)).
"""

from mpmath import exp, floor, log, log1p, mp, mpf

mp.dps = 60

GAMMAS = (0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0)

# Where something switches, underflows or cancels; all are float32 numbers, so that both types can use them.
# fmt: off
MAGNITUDES = (
    0.0, 2.0**-149, 2.0**-80, 2.0**-24, 2.0**-12, 0.015625, 0.3125, 0.6875, 1.0, 1.5, 2.0, 2.75,
    2.8125, 4.0, 5.5, 8.0, 12.25, 16.625, 17.5, 24.0, 29.0, 36.75, 43.5, 52.0, 59.5, 87.25, 88.75,
    103.5, 104.5, 127.75, 149.0, 210.5, 355.0, 372.5, 600.0, 708.5, 744.75, 745.5, 800.0, 1000.0,
    2.0**20, 2.0**100,
)
# fmt: on


def focal(z, g):
    """Return f, f' and f'' at the logit z."""
    z, g = mpf(z), mpf(g)
    p, q = 1 / (1 + exp(-z)), 1 / (1 + exp(z))
    loss = log1p(exp(-z)) if z > -700 else -z + log1p(exp(z))
    modulation = q**g
    first = -modulation * (q + g * p * loss)
    second = p * modulation * (q * (1 + 2 * g - g * loss) + g * g * p * loss)
    return modulation * loss, first, second


def parts(value):
    """Return a number as two float64 and a binary exponent."""
    if abs(value) < mpf(2) ** -1200:  # far below what float64 holds
        return "0 0 0"
    exponent = int(floor(log(abs(value), 2)))
    mantissa = value / mpf(2) ** exponent
    high = float(mantissa)
    return f"{high!r} {float(mantissa - high)!r} {exponent}"


def main():
    print("# gamma, z, f, f', f'' (mantissa in two parts, exponent): made by tools/truth.py")
    for gamma in GAMMAS:
        for magnitude in MAGNITUDES:
            for z in (magnitude, -magnitude) if magnitude else (0.0,):
                print(gamma, z, "  ".join(map(parts, focal(z, gamma))))


if __name__ == "__main__":
    main()
