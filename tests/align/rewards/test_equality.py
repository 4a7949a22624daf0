"""Which answers are the same: a table of hard cases, laws, and nothing that takes long."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.rewards.equality import same

SAME = [
    ("1/2", "0.5"), (r"\frac{1}{2}", "1/2"), (r"\dfrac12", ".5"), ("-\\frac{1}{2}", r"\frac{-1}{2}"),
    ("5.0", "5"), ("+5", "5"), ("$\\frac{3}{4}$", "0.75"), ("0.333333", "1/3"), ("3.14159265", r"\pi"),
    # separators, currency, per cent, scientific, mixed numbers
    ("1,234", "1234"), ("1,000,000", "1000000"), ("10\\,000", "10000"), ("10{,}000", "10,000"), ("$1,234.50", "1234.5"),
    (r"\$5", "5"), ("50%", "50"), (r"50\%", "0.5"), ("1.5e3", "1500"), (r"1.5\times 10^3", "1500"),
    (r"1.5 × 10^{-3}", "0.0015"), ("3 1/2", "7/2"), (r"3\frac{1}{2}", "3.5"), ("2\\frac{1}{4}\\text{ cups}", "9/4"),
    # units
    ("5 cm", "5"), (r"5\text{ cm}", "5"), (r"5\ \mathrm{cm}^2", "5"), ("12 km/h", "12"), ("30^\\circ", "30"),
    ("30°", "30"),
    ("5 square miles", "5"), ("18 apples.", "18"), ("25 \\text{ miles per hour}", "25"),
    # roots, powers, functions
    (r"\sqrt{8}", r"2\sqrt{2}"), ("3\\sqrt{5}", "sqrt(45)"), (r"\frac{1}{\sqrt2}", r"\frac{\sqrt{2}}{2}"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"), (r"\sqrt[3]{-8}", "-2"), ("\\sqrt{0}", "0"), ("2**3", "8"),
    ("5²", "25"), ("3½", "7/2"), ("5 cm²", "5"),
    ("2 - -3", "5"), ("x²", "x^2"),
    ("2^{10}", "1024"), ("2^3^2", "512"), ("2\\cdot3^2", "18"), (r"\log_2 8", "3"), ("\\ln(e^2)", "2"), ("5!", "120"),
    (r"\binom{5}{2}", "10"), ("e^{i\\pi}", "-1"), ("|−3|", "3"), (r"\frac{\pi}{4}", "pi/4"),
    (r"\lfloor 3.7 \rfloor", "3"),
    # expressions
    ("2(x+1)", "2x+2"), ("(x+1)^2", "x^2+2x+1"), (r"\frac{x^2-1}{x-1}", "x+1"), ("xy", "yx"), ("1 - x", "-(x-1)"),
    (r"\sin^2 x+\cos^2x", "1"), ("x^{1/2}", r"\sqrt{x}"), ("(x-1)(x+2)", "x^2+x-2"),
    # equations and inequalities
    ("x=5", "5"), ("f(x)=2x", "2x"), ("2+3=5", "5"), ("y=2x+1", "2x-y+1=0"), ("2x+3y=6", "4x+6y=12"), ("x>3", "3<x"),
    ("-x<-3", "x>3"), ("x > 3", r"(3,\infty)"), ("x \\geq 2", "[2,\\infty)"), ("1<x\\le4", "(1,4]"),
    ("x\\in[1,2)", "1\\le x<2"), ("a \\ne 0", "a≠0"),
    # several values
    ("\\{1,2\\}", "2,1"), ("1 and 2", "2, 1"), ("x=1, x=2", "1,2"), ("3,4,5", "5,4,3"),
    (r"1\pm\sqrt{2}", r"1-\sqrt2, 1+\sqrt2"), ("\\emptyset", "\\varnothing"), (r"\left(\frac12, 3\right)", "(0.5,3)"),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,\infty) \cup (-\infty, 2)"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1 & 2 \\ 3 & 4\end{bmatrix}"),
    (r"\begin{pmatrix}1\\-2\end{pmatrix}", r"(1,-2)"),
    # words
    ("A", "(A)"), (r"\text{(A)}", "A"), ("Yes", "yes"), (r"\text{Monday}", "monday"), ("12:30", "12:30"),
    ("9**9**9", "9**9**9"), ("7:30 PM", "7:30 pm"), (r"\text{A, C}", "C and A"),
    # angles, repeating decimals, ratios
    (r"120^{\circ}", "120"), (r"35\,^{\circ}", "35°"), (r"\sin 45^\circ", r"\frac{\sqrt2}{2}"), ("cos(60°)", "1/2"),
    (r"\tan^{-1} x", r"\arctan x"), (r"0.\overline{3}", "1/3"), (r"2.1\overline{6}", "13/6"), ("4:3", "8:6"),
    (r"x < -1 \text{ or } x > 1", r"(-\infty,-1)\cup(1,\infty)"), (r"\pm 2", "2, -2"), (r"x = \pm3", "-3,3"),
    # answers as MATH writes them
    (r"\left(-\infty,-\frac{1}{2}\right]\cup(4,\infty)", "(-inf, -0.5] U (4, inf)"), ("6 - 5i", "-5i + 6"),
    (r"\frac{2}{5}+\frac{1}{5}i", "(2+i)/5"), (r"2\pi r^2", "2*pi*r^2"), (r"\frac{n(n+1)}{2}", "(n^2+n)/2"),
    (r"\begin{pmatrix} -1/3 \\ 2/3 \\ 5/3 \end{pmatrix}", r"\left(-\frac13, \frac23, \frac53\right)"),
    ("10,\\!080", "10080"), (r"5 \text{ or } -3", "x = -3, x = 5"), (".0000672", r"6.72 \times 10^{-5}"),
    (r"\frac{\pi}{6}, \frac{5\pi}{6}", r"\frac{5 \pi}{6}, \frac{\pi}{6}"), ("144\\text{ square feet}", "144"),
]  # fmt: skip
OTHER = [
    ("1/2", "1/3"), ("0.3333", "1/3"), ("3.14", r"\pi"), ("1000001", "1000000"), ("1000001.0", "2000001/2"),
    ("-5", "5"),
    ("12", "1.2"), ("1,23", "123"), ("1 2", "12"), ("50%", "5"), ("0.5", "50"), ("1e400", "1e401"), ("2x", "3x"),
    ("5x", "5"), ("5 x", "5"), ("2pi", "2"), ("x", "5"), ("x^2", "2^x"), ("x+y", "x-y"), ("|x|", "x"), ("i", "1"),
    (r"\sqrt{x^2}", "x"), ("sin x", "cos x"), ("y=2x", "y=3x"), ("x=3", "y=3"), ("x>3", "x<3"), ("x>3", "x\\ge3"),
    ("-x>3", "x>3"), ("x=1,y=2", "x=2,y=1"), ("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("(1,2)", "1,2"),
    ("1,2", "1,2,3"), ("{1,2}", "{1,3}"), ("1,1,2", "1,2,2"), ("\\infty", "-\\infty"), ("\\infty", "5"),
    ("1011_2", "1101_2"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1&-2\end{pmatrix}"), (r"\mathbb{R}", r"-\mathbb{R}"),
    ("A", "B"), ("yes", "no"), ("Monday", "Tuesday"), ("", "5"), ("", ""), ("1/0", "2"), ("1/0", "1/0+1"),
    ("((((", ")"),
    ("\\frac{1}{", "1"), ("import os", "1"), ("__import__('os').system('id')", "1"),
    ("2516_8", "2516"), (r"\sin 45^\circ", r"\sin 45"), (r"0.\overline{3}", "0.3"), ("4:3", "3:4"),
    ("7:30 PM", "7:30 AM"),
    (r"6 - 5i", "6 + 5i"), (r"\pm 2", "2"), (r"x < 1 \text{ or } x > 2", r"(-\infty,1)\cup(3,\infty)"),
    # too large to compute
    ("9**9**9", "9**9**8"), ("9**9**9", "1"), ("(10^9)!", "1"), ("10^{10^{10}}", "1"), ("1e9999999999", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "answer"), SAME)
def test_the_same_answer_written_otherwise(given, answer):
    assert same(given, answer)
    assert same(answer, given)


@pytest.mark.parametrize(("given", "answer"), OTHER)
def test_another_answer(given, answer):
    assert not same(given, answer)
    assert not same(answer, given)


@pytest.mark.parametrize(
    "long",
    ["(" * 10_000, "[" * 10_000 + "]" * 10_000, "{" * 999, "1+" * 400 + "1", "\\frac{" * 150, "x^" * 400, "1," * 400,
     "|" * 900, "-" * 900, "\\sqrt" * 190, "9^" * 190 + "9", "9!" + "!" * 90, "\\text{" * 150, "a " * 450, "1 " * 450,
     "\\begin{pmatrix}" * 60, "5" + " a" * 400, "(1/3)^{400}" * 15, "9" * 999, "0." + "1" * 900, "\\left" * 150,
     "(x+1/3)^{300}(y+1)^{300}", "$" * 999, "\\begin{pmatrix}" + "&" * 900, "*9" * 400, "%" * 900],
)  # fmt: skip
def test_nothing_takes_long(long):
    began = time.process_time()
    for other in ("1", "x", long + "+1"):
        same(long, other)
        same(other, long)
    assert time.process_time() - began < 1  # seconds; measured: below 0.05


rationals = st.fractions(-1000, 1000, max_denominator=99)


@given(rationals, rationals)
def test_numbers_are_the_same_where_python_says_so(one, two):
    latex = rf"{'-' if two < 0 else ''}\frac{{{abs(two.numerator)}}}{{{two.denominator}}}"
    assert same(f"{one.numerator}/{one.denominator}", latex) == (one == two)
    assert same(f"{two.numerator}/{two.denominator}", latex)
    assert same(f"({one}) + {latex}", str(one + two))


@given(st.decimals(-(10**6), 10**6, places=2), st.integers(0, 2))
def test_thousands_separators_and_zeros_change_nothing(number, zeros):
    assert same(f"{number:,}" + "0" * zeros, str(Fraction(number)))
    assert not same(f"{number:,}", str(Fraction(number) + 1))


@settings(max_examples=60)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4), st.integers(-9, 9))
def test_a_polynomial_is_the_same_expanded(roots, more):
    factors = "".join(f"(x-({root}))" for root in roots)
    coefficients = [1]
    for root in roots:
        coefficients = [a - root * b for a, b in zip([*coefficients, 0], [0, *coefficients])]
    powers = range(len(coefficients) - 1, -1, -1)
    expanded = "+".join(f"({c})x^{{{p}}}" for c, p in zip(coefficients, powers))
    assert same(factors, expanded)
    assert same(factors, f"{expanded}+({more})") == (more == 0)


@given(st.text(alphabet="0123456789.,()[]{}\\^_+-*/=<>|!%$xyei frcsqtpaibonlg", max_size=40))
def test_whatever_is_said_is_the_same_as_itself_and_raises_nothing(said):
    assert same(said, said) == same(said, said + " ")
    assert same(said, "1") == same("1", said)


def test_a_decimal_of_six_places_is_what_rounds_to_it():
    for value, said in ((math.sqrt(2), r"\sqrt{2}"), (math.pi, r"\pi"), (2 / 3, r"\frac{2}{3}")):
        assert same(f"{value:.6f}", said)
        assert not same(f"{value + 2e-6:.6f}", said)
        assert not same(f"{value:.5f}", said)
