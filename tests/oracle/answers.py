"""Writes tests/data/answers.json: pairs of answers, and whether they are the same. The table is ours, written by hand from
what the answers mean; beside each row stands what math_verify 0.9.0 says of it, for which the script is run where that is
installed. `--compare` prints where the two differ and, for MATH's published rule (Hendrycks et al. 2021, a comparison of
normalised strings), how many of our right pairs it accepts.

    pip install math-verify==0.9.0
    python tests/oracle/answers.py [--compare]
"""

import json
import pathlib
import sys

SAME = r"""
18 | 18
18 | 18.00
18 | 18.
18 | +18
1234 | 1,234
1,234 | 1234
1,234,567 | 1234567
1234567.5 | 1,234,567.5
1234 | 1{,}234
1234 | 1,\!234
70,000 | \$70,000
5 | $5$
5 | \(5\)
5 | \[5\]
5 | \$5
5 | $\$5$
-3 | −3
-3 | - 3
0.5 | 1/2
0.5 | .5
0.5 | \frac{1}{2}
0.5 | \frac12
0.5 | \dfrac{1}{2}
0.5 | \tfrac{2}{4}
\frac{1}{2} | 1/2
\frac{1}{2} | \frac{2}{4}
-\frac{1}{2} | \frac{-1}{2}
-\frac{1}{2} | \frac{1}{-2}
-\frac{1}{2} | -0.5
\frac{3}{4} | 0.75
\frac{4}{3} | 1\frac{1}{3}
\frac{7}{2} | 3\frac{1}{2}
3\frac12 | 3.5
10 | 10\%
10\% | 10
10\% | 0.1
0.1 | 10\%
50\% | 50 \%
50\% | \frac{1}{2}
12.5\% | 0.125
5 | 5 \text{ cm}
5 \text{ cm} | 5
5\text{ cm} | 5 cm
5\text{ cm} | 5\,\text{cm}
5 | 5cm
12 | 12 dollars
12 | 12\text{ inches}
36 | 36\text{ cm}^2
36 \text{ square units} | 36
1 \text{ hour} | 1 hours
90 | 90^\circ
90^\circ | 90^{\circ}
90^\circ | 90°
90^\circ | 90 degrees
\sqrt{2} | \sqrt2
\sqrt{2} | sqrt(2)
\sqrt{2} | √2
2\sqrt{2} | \sqrt{8}
2\sqrt{2} | 2 \cdot \sqrt{2}
2\sqrt{2} | 2*sqrt(2)
\frac{\sqrt{2}}{2} | \frac{1}{\sqrt{2}}
\sqrt{4} | 2
\sqrt[3]{8} | 2
1+\sqrt{3} | \sqrt{3}+1
\frac{1+\sqrt{5}}{2} | \frac{\sqrt{5}+1}{2}
\frac{1+\sqrt{5}}{2} | \frac12+\frac{\sqrt5}{2}
\pi | π
\pi | pi
2\pi | 2 \times \pi
\frac{\pi}{2} | \pi/2
\frac{\pi}{2} | \frac{1}{2}\pi
\frac{\pi}{2} | 0.5\pi
e^2 | e^{2}
2^{10} | 1024
2^{10} | 2^10
2^{100} | 2^{100}
10^6 | 1,000,000
1.5 \times 10^3 | 1500
5! | 120
\binom{5}{2} | 10
x+1 | 1+x
x^2+2x+1 | (x+1)^2
2x+3 | 3+2x
2(x+1) | 2x+2
xy | yx
3x^2y | 3 y x^2
\frac{x}{2} | \frac{1}{2}x
\frac{x^2-1}{x-1} | \frac{(x-1)(x+1)}{x-1}
-(x-1) | 1-x
|x| | \left|x\right|
\sin^2 x + \cos^2 x | 1
\log_2 8 | 3
\ln x^2 | \ln(x^2)
\tan 45^\circ | \tan 45°
5 | x=5
x=5 | 5
x=5 | x = 5
2x+1 | y=2x+1
y=2x+1 | y = 1+2x
f(x)=x+1 | x+1
2x+3y=5 | 5=2x+3y
x<5 | 5>x
x \le 5 | x \leq 5
x \ge 5 | 5 \leq x
(1,2) | (1, 2)
(1,2) | \left(1,2\right)
(1,2) | \left( 1, 2 \right)
(\frac12, 3) | (0.5, 3)
(-1,\sqrt{2}) | (-1, 2^{1/2})
[0,1) | [0, 1)
(-\infty, 3] | (-\infty,3]
(-\infty, 3] | (-∞, 3]
(-\infty,0)\cup(1,\infty) | (-\infty, 0) \cup (1, \infty)
(-\infty,0)\cup(1,\infty) | (1,\infty)\cup(-\infty,0)
x \in [0,1] | [0,1]
\{1,2\} | \{2,1\}
1,2 | 2, 1
1, 2 | 1 and 2
1, 2 | 1 \text{ and } 2
1, 2, 3 | 1, 2, and 3
1,234 | 1, 234
3, -3 | \pm 3
1 \pm \sqrt{2} | 1+\sqrt{2}, 1-\sqrt{2}
\{-1, 1\} | -1, 1
\text{(A)} | A
\text{(A)} | (A)
\text{A} | A
(B) | B
\text{Evelyn} | Evelyn
Evelyn | evelyn
\text{yes} | Yes
\text{even} | even
\infty | ∞
-\infty | -∞
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix}
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} 1 & \frac{4}{2} \\ 3 & 4 \end{pmatrix}
x_1 | x_{1}
\alpha | \alpha
3+4i | 4i+3
12_8 | 12_8
10:30 | 10:30
7 \text{ apples} | 7
0 | 0.0
-0 | 0
6 - 5i | 6-5i
\frac{14}{3} | 14/3
11\sqrt2 | 11 \sqrt{2}
\mathbf{5} | 5
\textbf{5} | 5
\dfrac{9}{256} | \frac{9}{256}
1.45 million | 1.45 million
25\text{ cm}^2 | 25\text{ cm}^2
5 | 5 dollars
5 | $5
$5 | 5 dollars
\$5 | 5 dollars
\$5 | 5 USD
$1,200 | 1200 dollars
-\$5 | -5 dollars
5 euros | €5
5 euros | 5€
£5 | 5 pounds
\$5 \text{ million} | 5 million dollars
1.45 million | 1450000
2 dozen | 24
5 m | 5
5\text{ m} | 5 meters
5 \text{ m} | 5 m
5m | m \cdot 5
5 inches | 5 in
5 inch | 5\text{ inches}
6 feet | 6 ft
5 cm^2 | 5 square centimeters
5\text{ cm}^3 | 5 cubic centimeters
60\text{ mph} | 60 miles per hour
60\text{ miles per hour} | 60 miles/hour
30 minutes | 30 min
8 children | 8
100 \text{ km/h} | 100 km per hour
100 km/h | 100 km per hour
100 km/h | 100
5 \text{ m/s} | 5 m/s
7 sq ft | 7 square feet
10:30 | 10:30
$5, $6 | 5, 6
i | \sqrt{-1}
e^{i\pi/3} | \frac12+\frac{\sqrt3}{2}i
\arctan 1 | \frac{\pi}{4}
\sin 2x | 2\sin x\cos x
x/x | 1
50\% | 50 percent
50\% | 0.5
25^\circ\text{C} | 25°C
25^\circ C | 25
90^\circ | \frac{\pi}{2}
\sin 30^\circ | \frac12
\sin 30^\circ | 0.5
\cos(60^\circ) | 1/2
\cos 180^{\circ} | -1
30^\circ + 60^\circ | 90^\circ
-30^\circ | -30 degrees
3 1/2 | 3.5
3 1/2 | \frac72
-3 1/2 | -3.5
3½ | 3.5
½ | 0.5
5 | 5=x
x=5 | 5 = x
x = 3, x = -3 | 3, -3
x = \pm 3 | 3, -3
x = 2 \text{ or } 3 | 2, 3
1, \pm 3 | -3, 1, 3
5 | x = \frac{10}{2} = 5
\{1,2\} | \{1,1,2\}
\{1,2\} | {1, 2}
\{1,2\} | 2, 1
\varnothing | \emptyset
\emptyset | \{\}
\emptyset | ∅
-1 | i^2
-1+2i | 2i-1
2i | \sqrt{-4}
5 | |3+4i|
-2 | \sqrt[3]{-8}
\frac{1}{1+i} | \frac{1-i}{2}
26 | 2.6e1
26 | 2.6\times 10^1
26 | 2.6 \cdot 10^{1}
0.00012 | 1.2e-4
3.0 \times 10^8 | 300000000
0.5 | \nicefrac{1}{2}
\frac{1}{72} | \frac1{72}
2\sqrt{2} | \sqrt2 \cdot 2
1,000 | 1{,}000
1,000,000 | 1\,000\,000
5 | 5.0
5 | \boxed{5}
5 | \boxed{\boxed{5}}
5 | $5$.
\frac13 | 0.\overline{3}
\frac13 | 0.\bar{3}
\frac16 | 0.1\overline{6}
1 | 0.\overline{9}
12_8 | 12_{8}
12_8 | 012_8
1A_{16} | 1A_{16}
1:2 | 1 : 2
1:2 | 2:4
1:2 | \frac12
2:3:4 | 4:6:8
5:2 | 2.5
10:30 \text{ am} | 10:30 am
3! | 6
\frac{10!}{8!} | 90
\binom{10}{3} | 120
50! | 50 \cdot 49!
\log_{10} 100 | 2
\log_3 81 | 4
\ln e^3 | 3
\lg 1000 | 3
|-5| | 5
|x-1| | |1-x|
(x+1)(x-1) | x^2-1
(x+y)^3 | x^3+3x^2y+3xy^2+y^3
(a+b)^{10} | (b+a)^{10}
\frac{1}{x}+\frac{1}{y} | \frac{x+y}{xy}
(x+1)^{50} | (1+x)^{50}
2^{n+1} | 2 \cdot 2^n
e^{i\pi} | -1
10^{20}\pi | 100000000000000000000\pi
2^{200}+1 | 1+2^{200}
2^{100} | 1267650600228229401496703205376
1<x<3 | 3>x>1
1<x<3 | x \in (1,3)
(1,3) | 1<x<3
[1,3) | 1 \le x < 3
(3,\infty) | x>3
(-\infty,3] | 3 \ge x
x \in [1,2] | x\in[1,2]
x \in [1,2] | 1 \le x \le 2
\mathbb{R} | (-\infty,\infty)
[2,\infty) | [2, +\infty)
\begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix} | \begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}
\begin{pmatrix} -\frac12 \\ 2 \end{pmatrix} | \begin{pmatrix} -0.5 \\ 2 \end{pmatrix}
\text{no solution} | No solution
\text{Monday} | Monday
x \neq 2 | x\ne2
\text{June 5} | June 5
"""

DIFFERENT = r"""
18 | 19
18 | -18
18 | 180
18 | 
18 | $
18 | [invalid]
1234 | 1.234
1234 | 12,34
1/3 | 0.333
1/3 | 0.3333333333
\frac13 | 0.33
\sqrt{2} | 1.414
\sqrt{2} | 1.41421356
\pi | 3.14
\pi | \frac{22}{7}
0.5 | 0.05
0.5 | 5
\frac{1}{2} | \frac{2}{1}
\frac{1}{2} | 12
\frac12 | \frac13
3\frac12 | \frac{3}{2}
10\% | 0.01
10\% | 11\%
10\% | 10.5
50 | 0.5
5 \text{ cm} | 5 \text{ m}
5 \text{ cm} | 6 \text{ cm}
5 dollars | 5 cents
90^\circ | 91^\circ
2\sqrt{2} | 2+\sqrt{2}
\sqrt{x^2} | x
2\sqrt{2} | \sqrt{2}
2^{10} | 20
2^{200} | 2^{200}+1
12345678901234567890123456789012345678901 | 12345678901234567890123456789012345678902
5! | 5
x+1 | x-1
x+1 | x
x^2+2x+1 | x^2+1
x^2 | 2x
xy | x+y
x | y
2x | 2y
ab | a
1/2x | \frac{1}{2x}
2^3^2 | 64
x=5 | x=6
x=5 | y=x
2x+1 | y=2x-1
x<5 | x>5
x<5 | x \le 5
x<5 | 5
x \ge 5 | x = 5
(1,2) | (2,1)
(1,2) | [1,2]
(1,2) | (1,2]
(1,2) | (1,2,3)
(1,2) | 1
(1,2) | \{1,2\}
[0,1) | [0,1]
[0,1) | (0,1)
(-\infty,3] | (-\infty,3)
(-\infty,3] | (\infty,3]
(-\infty,0)\cup(1,\infty) | (-\infty,0)
\{1,2\} | \{1,3\}
\{1,2\} | \{1\}
1,2 | 1
1,2 | 1,2,3
1,1 | 1,2
3, -3 | 3
\pm 3 | 3
1 \pm \sqrt{2} | 1+\sqrt{2}
\text{(A)} | B
(A) | (B)
A | a
\text{Evelyn} | Angela
\text{yes} | no
\text{even} | odd
\infty | -\infty
\infty | 1000000000000
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix} 2 \\ 1 \end{pmatrix}
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix} 1 & 2 \end{pmatrix}
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} 1 & 2 \\ 3 & 5 \end{pmatrix}
x_1 | x_2
3+4i | 3-4i
12_8 | 12
12_8 | 12_9
10:30 | 10:31
3:4 | 4:3
7 | 7 or 8
5 | 5 = 6
5 | five
42 | The answer
1 | 1,000
0 | \frac{1}{0}
\frac{1}{0} | \frac{2}{0}
\sqrt{-1} | \sqrt{-2}
\frac{1}{23} | \frac{12}{3}
\frac{3}{10} | \frac{31}{0}
\sqrt{23} | \sqrt{2}3
2^{n+1} | 2^{n}+1
\sqrt{x+1} | \sqrt{x}+1
e^{2x} | e^{2}x
\frac{x}{2}+1 | \frac{x}{2+1}
2^{10} | 2^{1}0
11/2 | 1 1/2
12 | 1 2
26 | 2$6
AB | ab
\leftarrow | arrow
18 | 18 million
18 | 18 thousand dollars
18 | 18 dozen
18 | 18 less than that
25\text{ cm}^2 | 25\text{ cm}^3
$5 | 5 euros
\$5 | 5€
\$5 | £5
\$5 | 50 dollars
\$5 | 5 cents
5 dollars | 5 euros
5 cm | 5 m
5 m | 5 km
5 m | 5 s
5x | 5
5 m | 6 m
100 cm | 1 m
60 miles per hour | 60 miles
7 apples | 7 oranges
100 km/h | 100 km
3 h 20 min | 3
5 in | 5 ft
x=5 | x=5 or x=6
5 | 5, 5
12:00 | 12
10 am | 10 pm
1,00 | 100
\frac{0}{0} | 0
\sqrt{10^{12}+1} | 10^6
\cos 1 | 0.5403023
1<x<3 | (3,1)
AB=5 | AC=5
5 cm^2 | 5 cm
1 hour | 60 minutes
18 million | 18 thousand
1.45 million | 1.45
50\% | 5
50\% | 0.05
50\% | 50 dollars
25^\circ C | 25^\circ F
90^\circ | \pi
90^\circ | 90 cm
\sin 30^\circ | 30
\sin 30 | \frac12
30^\circ + 60^\circ | 80^\circ
1,234 | 234, 1
1,234 | (1,234)
1234 | 1, 234
(1,234) | (234,1)
1,2,345 | 12345
1,2,345 | 1,2345
1,234 | 1.234
\{1,234\} | 1234
3 1/2 | 31/2
3 1/2 | \frac32
3½ | 1.5
5=x | 6
x=5 | y=5
x = 3, x = -3 | 3
5 | x = \frac{10}{3} = 5
\{1,2\} | \{1,2,3\}
1,2 | 1,1,2
\{1,2\} | (1,2)
\emptyset | 0
\emptyset | \{0\}
\emptyset | \{\emptyset, 1\}
-1 | i
1 | i^2
3+4i | 5
2i | \sqrt{-2}
26 | 2.6
26 | 2.6e2
2.6e1 | 2.6e
\sqrt{23} | \sqrt23
\frac{12}{3} | \frac123
\frac13 | 0.3
\frac13 | 0.3333333333333333
\sqrt{2} | 1.4142135623730951
\pi | 3.141592653589793
0.\overline{3} | 0.3
0.\overline{12} | 0.12
12_8 | 10
12_8 | 10_{10}
19_8 | 17
1:2 | 2:1
1:2 | 1:2:3
10:30 | 1:3
10:30 am | 10:30 pm
3! | 3
5!! | 120
\binom{10}{3} | \frac{10}{3}
\log_2 8 | 8
|x| | x
|x-1| | x-1
(x+1)^2 | x^2+1
(x+1)^{50} | (1+x)^{51}
(a+b)^{10} | a^{10}+b^{10}
2^{200} | 2^{201}
2^{1000}+1 | 2^{1000}
10^{15}\pi | 10^{15}\pi+1
\frac{\pi}{10^{15}} | \frac{2\pi}{10^{15}}
\frac{\pi}{10^{15}} | 0
1<x<3 | 1<x \le 3
1<x<3 | 1<y<3
1<x<3 | (1,4)
1<x<3 | 1,3
[1,3) | 1 < x < 3
(3,\infty) | x \ge 3
x>3 | 3
\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix} | \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
\text{no solution} | One solution
x \approx 3 | 3x
\mathbb{R} | \mathbb{Q}
x^2+y^2 | (x+y)^2
\cos x | \sin x
18 | 18 not
"""


def rows():
    for table, is_right in ((SAME, True), (DIFFERENT, False)):
        for line in table.strip("\n").split("\n"):
            expected, answer = line.split(" | ", 1)
            yield expected, answer, is_right


def math_verify_says(expected, answer):
    from math_verify import parse, verify

    # Bare answers are not looked for in plain text, so each is put where MATH's answers stand.
    boxed = lambda text: parse("\\boxed{" + text + "}", raise_on_error=False)
    return bool(verify(boxed(expected), boxed(answer), raise_on_error=False))


def strip_string(string):
    """MATH's published normalisation in short: what it removes and rewrites, in its order."""
    for old, new in (
        ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""),
        ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""),
    ):
        string = string.replace(old, new)
    if "\\text{ " in string:
        string = string.split("\\text{ ")[0]
    string = string.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if string.startswith("."):
        string = "0" + string
    if len(string.split("=")) == 2 and len(string.split("=")[0]) <= 2:
        string = string.split("=")[1]
    string = string.replace(" ", "")
    if string == "0.5":
        string = "\\frac{1}{2}"
    if string.count("/") == 1 and all(part.lstrip("-").isdigit() for part in string.split("/")):
        string = "\\frac{%s}{%s}" % tuple(string.split("/"))
    return string


def main():
    compare = "--compare" in sys.argv
    table, differ, published = [], [], [0, 0]
    for expected, answer, is_right in rows():
        row = {"expected": expected, "answer": answer, "is_right": is_right}
        table.append(row)
        if compare:
            said = math_verify_says(expected, answer)
            if said != is_right:
                differ.append((expected, answer, is_right, said))
            published[0 if is_right else 1] += strip_string(expected) == strip_string(answer)
    path = pathlib.Path(__file__).parent.parent / "data/answers.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in table) + "\n]\n")
    right = sum(row["is_right"] for row in table)
    print(f"{len(table)} rows, {right} right")
    if compare:
        print(f"MATH's rule accepts {published[0]} of the right ones and {published[1]} of the wrong ones")
        print(f"math_verify differs on {len(differ)}")
        for row in differ:
            print("  ", row)


main()
