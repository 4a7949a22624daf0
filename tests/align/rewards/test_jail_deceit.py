# ruff: noqa: E501 - programs are texts, a line each
"""Programs that try to pass tests that they fail, and tests that use what programs define: across processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from align.rewards import apart, locks
from align.rewards.jail import Limits, run

pytestmark = pytest.mark.skipif(bool(locks.missing()), reason=f"no lock here: {locks.missing()}")

# the token, wherever it can be had: descriptors, frames, memory; then said on every descriptor
SAY = """
import os
def say(text):
    for fd in range(3, 64):
        try: os.write(fd, text)
        except OSError: pass
"""
DECEITS = {
    "the reviewer's: token and descriptors from the frame": """
import sys, os, json
frame = sys._getframe()
while 'saying' not in frame.f_locals: frame = frame.f_back
at = frame.f_locals
tests, token = json.loads(os.read(at['told'], 1 << 16)[8:])
os.write(at['saying'], token.encode()); os._exit(0)""",
    "all descriptors read for a token": SAY + """
os.set_blocking(0, False)
for fd in range(3, 64):
    try: os.set_blocking(fd, False); os.lseek(fd, 0, 0); found = os.read(fd, 1 << 16)
    except OSError: continue
    say(found[-33:-1]); say(found)
os._exit(0)""",
    "forged answers on the pipe, then gone": SAY + """
import json
for text in (["gave", "", []], ["gave", None, []], ["gave", {}, []], ["gave", ["dict", []], []], ["gave", "", []]) * 2:
    body = json.dumps(text).encode(); say(len(body).to_bytes(8, 'big') + body)
os._exit(0)""",
    "forged answers on the pipe, alive": SAY + """
import json, time
def f(x):
    for n in range(5):
        body = b'["gave", "", []]'; say(len(body).to_bytes(8, 'big') + body)
    return 0""",
    "memory": """
import ctypes
def f(x):
    held = open('/proc/self/mem', 'rb', 0)""",
    "its parent's memory": "import os\ndef f(x): open(f'/proc/{os.getppid()}/mem', 'rb', 0)",
    "objects found by gc": """
import gc
def f(x):
    for one in gc.get_objects():
        if isinstance(one, dict) and ('tests' in one or 'want' in one): return one.get('want', 0)
        if isinstance(one, str) and 'assert' in one and 'want' in one: raise SystemExit
    return 0""",
    "a thread that waits for the tests": SAY + """
import threading, sys, gc
def wait():
    for _ in range(2000):
        for frame in sys._current_frames().values():
            while frame:
                for name in ('token', 'tests', 'told'):
                    if name in frame.f_locals and frame.f_code.co_name != 'wait': say(str(frame.f_locals[name]).encode())
                frame = frame.f_back
threading.Thread(target=wait, daemon=True).start()
def f(x):
    import time; time.sleep(0.1); return 0""",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit(0)",
    "os._exit in a test": "import os\ndef f(x): os._exit(0)",
    "SystemExit in a test": "def f(x): raise SystemExit(0)",
    "exec and compile patched": """
import builtins, json, os
builtins.exec = lambda *a: None
builtins.compile = lambda *a, **k: 'pass'
json.loads = lambda *a: ['pass', 'pass']
def f(x): return 0""",
    "AssertionError patched": """
import builtins
class Never(BaseException): pass
builtins.AssertionError = AssertionError = Never
def f(x): return 0""",
    "builtins patched": """
import builtins
builtins.all = builtins.any = builtins.bool = builtins.isinstance = lambda *a: True
builtins.abs = abs = len = lambda *a: 0
builtins.__build_class__ = None
def f(x): return 0""",
    "unittest patched": """
import unittest
unittest.TestCase.assertEqual = lambda *a: None
unittest.TestResult.wasSuccessful = lambda s: True
def f(x): return 0""",
    "a trace that jumps over assertions": """
import sys, threading
def trace(frame, event, arg):
    if frame.f_code.co_filename == 'tests.py': frame.f_lineno = 99
    return trace
sys.settrace(trace); threading.settrace(trace); sys.setprofile(lambda *a: None)
def f(x): return 0""",
    "an audit hook": "import sys, os\nsys.addaudithook(lambda what, args: what == 'exec' and os._exit(0))\ndef f(x): return 0",
    "a timer's signal": """
import signal, os
signal.signal(signal.SIGALRM, lambda *a: os._exit(0)); signal.setitimer(signal.ITIMER_REAL, 0.001)
def f(x):
    while True: pass""",
    "equal to everything": """
class Any:
    def __eq__(self, other): return True
    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: False
    def __hash__(self): return hash(42)
def f(x): return Any()""",
    "an integer equal to everything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __sub__ = __rsub__ = __abs__ = lambda *a: Any()
    __hash__ = int.__hash__
def f(x): return Any(0)""",
    "a list equal to everything": "class L(list):\n    __eq__ = lambda *a: True\n    __ne__ = lambda *a: False\ndef f(x): return L()",
    "says it is a module of tests": "import unittest\ndef f(x): raise unittest.SkipTest",
    "names of the tests' own": "want = 0\n__builtins__ = {}\n__name__ = 'x'\ndef f(x): return 0",
    "modules replaced": "import sys, types\nmath = types.ModuleType('math'); math.isclose = lambda *a: True\nsys.modules['math'] = math\ndef f(x): return 0",
    "a module in its folder": "open('math.py', 'w').write('isclose = lambda *a: True')\nopen('unittest.py', 'w').write('')\ndef f(x): return 0",
    "code sent instead of a value": """
class Evil:
    def __reduce__(self): return (__import__('os')._exit, (0,))
def f(x): return Evil()""",
    "nothing is left when it is subtracted": """
class Any:
    __sub__ = __rsub__ = __abs__ = __float__ = lambda *a: 0.0
    __lt__ = __le__ = __contains__ = lambda *a: True
def f(x): return Any()""",
    "Python's own names replaced, as if the task were to": """
from math import floor as f
def abs(x): return 0
def all(x): return True
def isinstance(*a): return True""",
    "a skip in disguise": "import unittest\nclass S(unittest.SkipTest): pass\ndef f(x): raise S",
    "a name that ends the tests": "import os\nf = os._exit",
}  # fmt: skip
TESTS = {
    "plain": "want = 42\nassert f(3) == want\nassert not f(3) != want",
    "caught": "want = 42\ntry:\n    made = f(3)\nexcept BaseException: made = None\nassert made == want",
    "unittest": "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(3), 42)\n"
                "result = unittest.TestResult()\nunittest.defaultTestLoader.loadTestsFromTestCase(T).run(result)\n"
                "assert result.wasSuccessful() and result.testsRun == 1 and not result.skipped",
    "near": "assert abs(f(3) - 42) < 1e-6",
    "math": "import math\nassert math.isclose(f(3), 42) and abs(f(3) - 42) < 1e-6",
}  # fmt: skip


@pytest.mark.parametrize("deceit", DECEITS)
def test_no_program_passes_tests_that_it_fails(deceit):
    assert not run(DECEITS[deceit], "assert False").passed
    for kind, tests in TESTS.items():
        outcome = run(DECEITS[deceit], tests, limits=Limits(seconds=2))
        assert (outcome.passed, outcome.refused) == (False, False), kind


def test_the_tests_that_deceits_fail_are_passed_by_the_right_program():
    for tests in TESTS.values():
        outcome = run("def f(x): return 42", tests)
        assert outcome.passed, outcome.reason


@pytest.mark.parametrize("body", ["x.__globals__", "x.__code__", "x._own", "x.gi_frame", "x.__dict__", "x.__class__.m"])
def test_a_program_cannot_look_behind_what_its_tests_give_it(body):
    tests = (
        "class C:\n    _own = 1\n    def m(self): pass\ndef g(): yield 1\nseen = []\n"
        "for one in (C(), C, g(), lambda: 1):\n    try: seen.append(f(one))\n    except Exception: pass\n"
        "assert seen == []"
    )
    outcome = run(f"def f(x):\n    {body}\n    return 1", tests)
    assert outcome.passed, outcome.reason


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("call", [["name", "os", "_exit"], ["list", [0]], ["dict", []]]), ("getattr", [["module", "os"], "read"]),
        ("getattr", [["mine", 0], "__globals__"]), ("await", [["mine", 0]]), ("base", [["mine", 0]]),
        ("call", [["mine", 7], ["list", []], ["dict", []]]), ("exec", ["1"]), ("setattr", [["mine", 0], "a", 1]),
    ],
)  # fmt: skip
def test_tests_answer_no_forged_question(name, sent):
    side = apart.Side(-1, -1, True, lambda: None)
    assert side.encode(test_tests_answer_no_forged_question) == ["theirs", 0]
    kind, error = side.answer(["do", name, sent])
    assert (kind, error[0]) == ("raised", "error")


@pytest.mark.parametrize(
    "sent", [["name", "os", "_exit"], ["name", "builtins", "exec"], ["name", "unittest.case", "SkipTest"],
             ["module", "tests"], ["copied", "os.system", ["x"]], ["error", ["list", []], [], []], ["eval", "1"]],
)  # fmt: skip
def test_tests_take_no_forged_value(sent):
    with pytest.raises(apart.Refused):
        apart.Side(-1, -1, True, lambda: None).decode(sent)


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(*a, **k): return a, k", "assert f(1, 'é', [2.5], k=None) == ((1, 'é', [2.5]), {'k': None})"),
        ("def f(x): return x", "for x in (None, True, 10**5000, -2**63, 1e300, float('inf'), 2j, '\\ud800', b'\\xff', {1, (2,)},"
         "{(1, 2): [{}]}, frozenset('a'), range(3), [[], ()], bytearray(b'x')): assert f(x) == x and type(f(x)) is type(x), x"),
        ("def f(x): x.sort(); x.append({}); return x", "a = [3, 1]; assert f(a) == a == [1, 3, {}]"),
        ("def f(x): x['a'] = 1", "a = {}\nassert f(a) is None and a == {'a': 1}"),
        ("def sum(a, b): return a + b", "assert sum(10, 15) == 25"),
        ("class P:\n    def __init__(s, a): s.a = a\n    def __eq__(s, o): return s.a == o.a\n    def __len__(s): return 7\n"
         "    def __lt__(s, o): return s.a < o.a\n"
         "def top(ps): return max(p.a for p in ps)",
         "a = P(3); b = P(5)\nassert top([a, b]) == 5 and a != b and P(3) == a and len(a) == 7 and isinstance(a, P)\n"
         "a.a = 9\nassert a.a == 9 and [p.a for p in sorted([a, b])] == [5, 9]"),
        ("from collections import *\nC = namedtuple('C', 'x y')\ndef f(): return Counter('aab')\ndef g(): return C(1, 2)\n"
         "def h(): d = defaultdict(int); d['a'] += 1; return d\ndef i(): return deque([1])",
         "assert f() == {'a': 2, 'b': 1} and g() == (1, 2) and g().x == 1 and h() == {'a': 1} and isinstance(h(), dict)\n"
         "assert isinstance(g(), tuple) and i() == deque([1]) and list(i()) == [1]"),
        ("def g(n):\n    for i in range(n): yield i", "assert list(g(3)) == [0, 1, 2] and sum(g(4)) == 6; assert next(g(1)) == 0"),
        ("class E(ValueError): pass\ndef f(x): raise E('bad', x)\ndef g(): import json; json.loads('{')\ndef h(): 1/0",
         "try: f(3); assert False\nexcept E as e: assert e.args == ('bad', 3) and isinstance(e, ValueError)\n"
         "import json\ntry: g(); assert False\nexcept json.JSONDecodeError as e: pass\n"
         "try: h(); assert False\nexcept ZeroDivisionError: pass"),
        ("def f(g, x): return [g(g(y)) for y in x]", "seen = []\nassert f(lambda y: seen.append(y) or y + 1, [1, 2]) == [3, 4]\n"
         "assert seen == [1, 2, 2, 3] and f(str, [1]) == ['1'] and f(len, ['a']) if False else True"),
        ("def f(g):\n    try: g()\n    except KeyError as e: return e.args", "def g(): raise KeyError(4)\nassert f(g) == (4,)"),
        ("def total(n):\n    s = 0\n    while n: s += n.v; n = n.next\n    return s\ndef cut(n): n.next = None",
         "class N:\n    def __init__(s, v, n=None): s.v, s.next = v, n\na = N(1, N(2))\nassert total(a) == 3; cut(a); assert a.next is None"),
        ("async def f(x): return x + 1", "import asyncio\nassert asyncio.run(f(1)) == 2"),
        ("import math\nfrom typing import List\nfrom fractions import Fraction as F\ndef f(): return F(1, 3)",
         "assert math.pi > 3 and f() * 3 == 1 and f() == F(1, 3)\ndef g(x: List[int]): pass"),
        ("import functools\n@functools.lru_cache(None)\ndef f(n): return n if n < 2 else f(n-1) + f(n-2)\nk = [1]",
         "assert f(50) == 12586269025 and f.__name__ == 'f' and callable(f) and k[0] == 1"),
        ("class S:\n    def __enter__(s): return 5\n    def __exit__(s, *a): return True\n    def __add__(s, o): return 8\n"
         "    def __getitem__(s, k): return k\n    @staticmethod\n    def m(): return 6",
         "with S() as s: assert s == 5; raise ValueError\nassert S() + S() == 8 and S()[4] == 4 and S.m() == 6"),
        ("import enum\nclass C(enum.IntEnum): A = 1\ndef f(): return C.A", "assert f() == 1 and f() < 2 and f() is C.A and str(f().name) == 'A'"),
        ("def f(x): print('from the program'); return x", "assert f(1) == 1; print('from the tests')"),
    ],
)  # fmt: skip
def test_tests_use_what_a_program_defines_as_if_it_were_beside_them(program, tests):
    outcome = run(program, tests)
    assert outcome.passed, outcome.reason


def test_the_program_has_no_descriptor_of_the_tests():
    """Standard streams, and one pipe each way; the file with tests and token is in the other process alone."""
    outcome = run(
        "import os, stat\nfound = []\nfor fd in range(3, 64):\n    try: found.append(stat.S_ISFIFO(os.fstat(fd).st_mode))\n"
        "    except OSError: pass\nprint(found)"
    )
    assert (outcome.passed, outcome.output) == (True, b"[True, True]\n")


@pytest.mark.parametrize("leave", ["pass", "os.setsid()"])
def test_neither_process_outlives_the_run(leave):
    outcome = run(
        f"import os\n{leave}\nprint(os.getpid(), os.getppid(), flush=True)\nfor fd in range(64):\n"
        "    try: os.close(fd)\n    except OSError: pass\nwhile True: pass",
        limits=Limits(seconds=1),
    )
    pids = [int(pid) for pid in outcome.output.split()]
    assert len(pids) == 2 or leave != "pass", outcome
    ends = time.monotonic() + 30
    for status in (Path(f"/proc/{pid}/stat") for pid in pids):
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX":
            assert time.monotonic() < ends
