"""Functions that tests call: the names a program finds without importing them, and the call itself."""

import sys

# What LiveCodeBench's own runner puts before a program, in its order: later names hide earlier ones. Starter codes of
# other sources use no name that is not among these. The last line is ours: the aliases of `typing` make the same objects,
# only slower.
PRELUDE = """
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from builtins import *
from typing import *
import string
import re
import datetime
import collections
import heapq
import bisect
import copy
import math
import random
import statistics
import itertools
import functools
import operator
import io
import sys
import json
from collections import ChainMap, Counter, OrderedDict
"""

# The same runner's, for programs that do not ask for more.
RECURSION_LIMIT = 50_000


def prelude_names():
    """The names that `PRELUDE` gives a module. Those of `sys` that are of the run are added in the run."""
    names = {}
    exec(PRELUDE, names)
    del names["__builtins__"]
    return names


def solution_module(names, main):
    """Prepares the module `main` for a function that tests call."""
    main.__dict__.update(names)
    for name in ("stdin", "stdout", "stderr", "argv"):
        main.__dict__[name] = getattr(sys, name)
    main.__name__ = "solution"
    sys.modules["solution"] = main
    sys.setrecursionlimit(RECURSION_LIMIT)


def call(main, entry_point, answer, loads, dumps):
    """Calls the function, or the method of a class `Solution`, with an argument for each line of standard input.

    What it returns is written to `answer` as one JSON value. `loads` and `dumps` are those from before the program.
    """
    sys.set_int_max_str_digits(0)
    arguments = [loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    defined = main.__dict__
    solution = defined.get("Solution")
    if isinstance(solution, type) and hasattr(solution, entry_point):
        function = getattr(solution(), entry_point)
    else:
        function = defined[entry_point]
    answer.write(dumps(function(*arguments)) + "\n")
    answer.flush()
