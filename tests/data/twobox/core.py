"""What an agent wrote: objects of many kinds, for tests in another box to use."""
class Err(ValueError):
    def __init__(self, msg, code=3):
        super().__init__(msg); self.code=code
class Stack:
    """d"""
    limit = 9
    def __init__(self, *a): self.items=list(a)
    def push(self,x): self.items.append(x); return self
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __getitem__(self,i): return self.items[i]
    def __enter__(self): return self
    def __exit__(self,*a): self.items.clear(); return False
    def __eq__(self,o): return isinstance(o,Stack) and self.items==o.items
def add(a,b): return a+b
def sort(xs): xs.sort()
def bad(x): raise Err("bad %r" % x, 7)
def apply(f,xs): return [f(x) for x in xs]
def gen(n):
    for i in range(n): yield i
from collections import namedtuple
import enum
P=namedtuple("P","x y")
class Color(enum.Enum):
    RED=1; BLUE=2
def say(): print("hello")
def clock(c): return c.now()+1
_t=5
def now(): return _t
