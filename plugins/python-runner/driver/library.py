"""The standard library: what of it is in the snapshot, what is kept as code, and what is missing.

Modules that many programs import are imported when the component is built. Everything else that is written in Python is
kept as compressed code and runs when a program first imports it: it costs a program that does not import it nothing,
not even the garbage collector's look. There are no files to load anything from.
"""

import fnmatch
import importlib
import importlib.machinery
import io
import marshal
import os
import sys
import types
import zlib

# Modules of the standard library that work without files, processes and sockets and that are ready when a program
# begins.
IMPORTED = """
    __future__ _pylong _pydatetime _pydecimal _strptime abc argparse array ast asyncio atexit base64 bdb binascii
    bisect builtins calendar cmath cmd code codecs codeop collections collections.abc colorsys
    compileall concurrent.futures concurrent.futures.thread configparser contextlib contextvars copy copyreg cProfile
    csv dataclasses datetime decimal difflib dis doctest email encodings.ascii encodings.cp1252 encodings.idna
    encodings.latin_1 encodings.punycode encodings.raw_unicode_escape encodings.unicode_escape encodings.utf_16
    encodings.utf_16_be encodings.utf_16_le encodings.utf_32 encodings.utf_8_sig enum errno faulthandler filecmp
    fileinput fnmatch fractions functools gc getopt getpass gettext glob graphlib gzip hashlib heapq hmac html
    html.entities html.parser importlib importlib.util inspect io ipaddress itertools json json.decoder json.encoder
    json.scanner keyword linecache locale logging marshal math mimetypes modulefinder multiprocessing
    multiprocessing.pool ntpath numbers opcode operator optparse os os.path pathlib pdb pickle pickletools pkgutil
    platform posixpath pprint profile pstats py_compile pyclbr pydoc queue quopri random re reprlib rlcompleter runpy
    sched secrets select selectors shelve shlex shutil signal site socket stat statistics string string.templatelib
    stringprep struct subprocess symtable sys sysconfig tarfile tempfile textwrap threading time timeit token
    tokenize tomllib trace traceback tracemalloc types typing unicodedata unittest unittest.mock urllib.error
    urllib.parse urllib.request uuid warnings wave weakref xml.dom.minidom xml.etree.ElementTree zipfile zlib
    zoneinfo
""".split()

# What is not kept as code: windows, terminals and native libraries that WASI lacks, and what is no library at all. An
# import of one of them names it.
LEFT_OUT = frozenset(
    """
    _aix_support _android_support _apple_support _ios_support _osx_support bz2 ctypes curses ensurepip idlelib lzma
    pydoc_data site-packages ssl test tkinter turtle turtledemo
    """.split()
)

# Packages that programs are written against and that this runner does not have. An import of one of them, or of a
# part of the standard library that WASI cannot offer, is not the program's fault.
THIRD_PARTY = frozenset(
    """
    aiohttp attr bitarray bs4 cffi cupy cv2 cython Cython django flask gmpy2 hypothesis jax joblib keras lxml
    matplotlib more_itertools mpmath networkx nltk numba numpy orjson pandas PIL polars pyarrow pydantic pypyjit
    pytest regex requests scipy seaborn sklearn sortedcollections sortedcontainers sympy tensorflow torch tqdm yaml
    """.split()
)
REMOVED_FROM_STANDARD_LIBRARY = frozenset(
    """
    aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib nis nntplib
    ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib
    """.split()
)
# Doors to native code and other processes: a program that knocks there is answered with the exception itself.
REFUSED = frozenset("ctypes _ctypes".split())


class KeptCode:
    """Finds and loads modules that are kept as code."""

    def __init__(self, root):
        self.root = root
        # By name: whether it is a package, the path that tracebacks show, and the compressed code.
        self.modules = dict(sorted(self.read("")))

    def read(self, package):
        """The modules of a package, with those of the packages in it."""
        folder = os.path.join(self.root, *package.split(".")) if package else self.root
        for entry in sorted(os.listdir(folder)):
            path = os.path.join(folder, entry)
            stem, extension = os.path.splitext(entry)
            if stem in LEFT_OUT or stem.startswith("_sysconfigdata"):
                continue
            name = f"{package}.{stem}" if package else stem
            # What is imported already is not compiled again: the memory that takes would stay in the snapshot.
            is_kept = name not in sys.modules
            if extension == ".py" and stem not in ("__init__", "__main__"):
                if is_kept:
                    yield name, self.keep(path, False)
            elif os.path.isfile(os.path.join(path, "__init__.py")):
                if is_kept:
                    yield name, self.keep(os.path.join(path, "__init__.py"), True)
                yield from self.read(name)

    @staticmethod
    def keep(path, is_package):
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        return is_package, path, zlib.compress(marshal.dumps(code), 9)

    def find_spec(self, name, path=None, target=None):
        """The finder's half of the import protocol."""
        kept = self.modules.get(name)
        if kept is None:
            return None
        is_package, origin, _ = kept
        spec = importlib.machinery.ModuleSpec(name, self, origin=origin, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(origin)]
        return spec

    def create_module(self, spec):
        """A module as every other."""
        return None

    def get_code(self, name):
        """The module's code."""
        return marshal.loads(zlib.decompress(self.modules[name][2]))

    def exec_module(self, module):
        """Runs the module's code in it."""
        exec(self.get_code(module.__spec__.name), module.__dict__)


class Readline(types.ModuleType):
    """The module `readline`: programs import it for `input()`, which reads no terminal here."""

    backend = "readline"

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        # Any function is accepted and without effect.
        return lambda *_arguments: None


def install():
    """Imports what can be imported, so that the snapshot holds it, and keeps the code of the rest.

    A module that WASI lacks stays unsupported.
    """
    # `os` itself is part of the interpreter and names a folder that is not there.
    root = os.path.dirname(fnmatch.__file__)
    output = sys.stdout
    sys.stdout = io.StringIO()
    try:
        for name in IMPORTED:
            try:
                importlib.import_module(name)
            except ImportError:
                sys.modules.pop(name, None)
    finally:
        sys.stdout = output
    kept = KeptCode(root)
    # Before the finder that looks for files, of which there will be none.
    path_finder = sys.meta_path.index(importlib.machinery.PathFinder)
    sys.meta_path.insert(path_finder, kept)
    sys.modules["readline"] = Readline("readline")


def missing_module(error):
    """The module that the runner lacks, where that is why `error` was raised."""
    if not isinstance(error, ModuleNotFoundError) or not isinstance(error.name, str):
        return None
    package = error.name.partition(".")[0]
    if package in REFUSED or package in sys.modules and "." not in error.name:
        return None
    known = package in THIRD_PARTY or package in REMOVED_FROM_STANDARD_LIBRARY or package in sys.stdlib_module_names
    return error.name if known else None
