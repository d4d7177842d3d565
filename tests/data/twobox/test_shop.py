"""Hidden tests that run where the code under test is not."""
import pytest
import shop
import shop as solution
import shop.core
import helper
from shop.core import add, Stack, Err
from shop.core import *
def test_add(): assert add(1,2)==3
def test_float(): assert add(.1,.2)==pytest.approx(.3)
def test_stack():
    s=Stack(1,2); s.push(3)
    assert len(s)==3 and list(s)==[1,2,3] and s[0]==1 and s.items==[1,2,3] and 2 in s
    assert isinstance(s,Stack) and not isinstance(s,list) and isinstance(s, solution.Stack)
    assert s!=[1,2,3] and s==Stack(1,2,3)
    assert Stack.limit==9
def test_sort():
    xs=[3,1,2]; solution.sort(xs); assert xs==[1,2,3]
def test_err():
    with pytest.raises(solution.Err, match="bad 4") as e: solution.bad(4)
    assert e.value.code==7
    with pytest.raises(ValueError): solution.bad(1)
    with pytest.raises(TypeError): add(1,"x")
    with pytest.raises(KeyError): add({}, 1) if False else {}["x"]
def test_cb(): assert solution.apply(lambda x:x*2,[1,2])==[2,4]
def test_gen(): 
    g=solution.gen(3); assert next(g)==0 and list(g)==[1,2]
def test_nt():
    p=solution.P(1,2); assert p==(1,2) and p.x==1 and isinstance(p,tuple); x,y=p; assert y==2
def test_enum():
    assert solution.Color.RED is solution.Color.RED and list(solution.Color)==[solution.Color.RED,solution.Color.BLUE]
    assert solution.Color["RED"].value==1 and solution.Color(2)==solution.Color.BLUE
def test_say(capsys):
    solution.say(); assert capsys.readouterr().out=="hello\n"
def test_with():
    with Stack(1) as s: assert len(s)==1
    assert len(s)==0
def test_fake():
    class C:
        def now(self): return 4
    assert solution.clock(C())==5
def test_mp(monkeypatch):
    monkeypatch.setattr(shop.core,"_t",8); assert solution.now()==8
def test_mp2(): assert solution.now()==5
@pytest.mark.parametrize("a,b",[(1,2),(3,4)])
def test_par(a,b): assert add(a,0)+1==b
class TestX:
    def test_m(self): assert callable(add) and sorted([3,1])==[1,3]
def test_wrong(): assert add(1,1)==3
def test_helper(): assert helper.two() == add(1, 1)
def test_exc():
    e = Err("m"); assert str(e)=="m" and e.code==3
    with pytest.raises(StopIteration): next(iter(Stack()))
    with pytest.raises(AttributeError): solution.nothing
