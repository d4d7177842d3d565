"""Slow modules and fast ones for the suite `perf`, with the drivers that count their calls. Texts; nothing here is run alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sica.suites._words import Names

Texts = tuple[str, str, str, str]
"""slow, fast, driver, told."""

_TOOLS = '''import random


class Counter:
    """Counts what is asked of it, and stops whoever asks without end."""

    def __init__(self):
        self.calls = 0

    def count(self):
        self.calls += 1
        if self.calls > 60000:
            raise RuntimeError("far too many calls")

'''

# ── order: comparisons ────────────────────────────────────────────────────────────────────────────

_BEFORE = (
    _TOOLS
    + """    def before(self, one, two):
        self.count()
        return (one["rank"], one["id"]) < (two["rank"], two["id"])


def parcels(size, dice):
    return [{"id": n, "rank": dice.randrange(size)} for n in dice.sample(range(size * 5), size)]


def key(parcel):
    return parcel["rank"], parcel["id"]

"""
)
_HALVED = """    made = []
    for parcel in parcels:
        low, high = 0, len(made)
        while low < high:
            middle = (low + high) // 2
            if before(made[middle], parcel):
                low = middle + 1
            else:
                high = middle
        made.insert(low, parcel)
    return made"""
# Not `sorted`: how often that compares changes between versions of Python, and the tasks may not.
_INSERTED = """    made = []
    for parcel in parcels:
        at = 0
        while at < len(made) and before(made[at], parcel):
            at += 1
        made.insert(at, parcel)
    return made
"""


def order_1(names: Names) -> Texts:
    name = names.function()
    head = '    """The parcels in order, as `before` says."""\n'
    return (
        f'"""Parcels in order."""\n\n\ndef {name}(parcels, before):\n{head}{_INSERTED}',
        f'"""Parcels in order."""\n\n\ndef {name}(parcels, before):\n{head}{_HALVED}\n',
        _BEFORE
        + f"""
def measure(work, size, seed):
    given, counter = parcels(size, random.Random(seed)), Counter()
    return work.{name}(given, counter.before), sorted(given, key=key), counter.calls
""",
        f"`{name}(parcels, before)` sorts; calls of `before` count.",
    )


def order_2(names: Names) -> Texts:
    name, low = names.function(), names.function()
    head = '"""The least of many parcels."""\n'
    slow = f'''{head}

def {low}(parcels, before):
    """The one that comes before all others."""
    for parcel in parcels:
        if all(parcel is other or before(parcel, other) for other in parcels):
            return parcel
    return None


def {name}(parcels, few, before):
    """The first few, in order."""
    left = list(parcels)
    made = []
    while left and len(made) < few:
        made.append({low}(left, before))
        left.remove(made[-1])
    return made
'''
    fast = f'''{head}

def {name}(parcels, few, before):
    """The first few, in order."""
{_HALVED}[:few]
'''
    return (
        slow,
        fast,
        _BEFORE
        + f"""
def measure(work, size, seed):
    given, counter = parcels(size, random.Random(seed)), Counter()
    few = size // 3
    return work.{name}(given, few, counter.before), sorted(given, key=key)[:few], counter.calls
""",
        f"`{name}(parcels, few, before)` gives the first few in order; calls of `before` count.",
    )


def order_3(names: Names) -> Texts:
    name, merge, find = names.function(), names.function(), names.function()
    head = '"""Queues that are in order become one; then it is told where parcels stand in it."""\n'
    rest = f'''

def {name}(queues, asked, before):
    """The places of the asked parcels in the one queue of all; they are all in it."""
    one = {merge}(queues, before)
    return [{find}(one, parcel, before) for parcel in asked]
'''
    slow = f"""{head}

def {merge}(queues, before):
    one = []
    for queue in queues:
        for parcel in queue:
            at = 0
            while at < len(one) and before(one[at], parcel):
                at += 1
            one.insert(at, parcel)
    return one


def {find}(one, parcel, before):
    return sum(before(other, parcel) for other in one)
{rest}"""
    fast = f"""{head}

def {merge}(queues, before):
    if len(queues) < 2:
        return list(queues[0]) if queues else []
    middle = len(queues) // 2
    left, right = {merge}(queues[:middle], before), {merge}(queues[middle:], before)
    one, a, b = [], 0, 0
    while a < len(left) and b < len(right):
        if before(right[b], left[a]):
            one.append(right[b])
            b += 1
        else:
            one.append(left[a])
            a += 1
    return one + left[a:] + right[b:]


def {find}(one, parcel, before):
    low, high = 0, len(one)
    while low < high:
        middle = (low + high) // 2
        if before(one[middle], parcel):
            low = middle + 1
        else:
            high = middle
    return low
{rest}"""
    return (
        slow,
        fast,
        _BEFORE
        + f"""
def measure(work, size, seed):
    dice = random.Random(seed)
    given, counter = parcels(size, dice), Counter()
    queues = [sorted(given[n::5], key=key) for n in range(5)]
    asked = dice.sample(given, size // 2)
    truth = [sorted(given, key=key).index(parcel) for parcel in asked]
    return work.{name}(queues, asked, counter.before), truth, counter.calls
""",
        f"`{name}(queues, asked, before)` merges queues that are in order and finds parcels in the result; calls of `before` count.",
    )


def order_4(names: Names) -> Texts:
    name, latest, pick = names.function(), names.function(), names.function()
    head = '"""A stream of parcels: the best few at any time, and how the stream changes them."""\n'
    slow = f'''{head}

def {pick}(seen, few, before):
    made = []
    for parcel in seen:
        at = len(made)
        while at > 0 and before(parcel, made[at - 1]):
            at -= 1
        made.insert(at, parcel)
    return made[:few]


def {latest}(old, new, before):
    return [parcel["id"] for parcel in new if all(before(parcel, other) or before(other, parcel) for other in old)]


def {name}(stream, few, before):
    """For each parcel of the stream: the ids that are new among the best few."""
    seen, old, told = [], [], []
    for parcel in stream:
        seen.append(parcel)
        new = {pick}(seen, few, before)
        told.append({latest}(old, new, before))
        old = new
    return told
'''
    fast = f'''{head}

def {name}(stream, few, before):
    """For each parcel of the stream: the ids that are new among the best few."""
    best, told = [], []
    for parcel in stream:
        if len(best) == few and (not few or before(best[-1], parcel)):
            told.append([])
            continue
        low, high = 0, len(best) - (len(best) == few)
        while low < high:
            middle = (low + high) // 2
            if before(best[middle], parcel):
                low = middle + 1
            else:
                high = middle
        best.insert(low, parcel)
        del best[few:]
        told.append([parcel["id"]])
    return told
'''
    return (
        slow,
        fast,
        _BEFORE
        + f"""
def measure(work, size, seed):
    given, counter = parcels(size // 2, random.Random(seed)), Counter()
    few, truth, old = 4, [], []
    for n in range(len(given)):
        new = sorted(given[: n + 1], key=key)[:few]
        truth.append([parcel["id"] for parcel in new if parcel not in old])
        old = new
    return work.{name}(given, few, counter.before), truth, counter.calls
""",
        f"`{name}(stream, few, before)` tells what is new among the best few; calls of `before` count.",
    )


# ── store: round trips ────────────────────────────────────────────────────────────────────────────

_STORE = (
    _TOOLS
    + '''

class Store(Counter):
    """Rows by number. Every call is one trip, however many rows it brings."""

    def __init__(self, rows, most=10**6):
        super().__init__()
        self.rows = rows
        self.most = most

    def get(self, id):
        self.count()
        return self.rows.get(str(id))

    def get_many(self, ids):
        self.count()
        if len(ids) > self.most:
            raise ValueError("too many at once")
        return {str(id): self.rows[str(id)] for id in ids if str(id) in self.rows}


def goods(size, dice):
    return {str(n): {"price": dice.randrange(9, 99), "maker": dice.randrange(1000, 1000 + max(1, size // 3))} for n in range(size)}

'''
)


def store_1(names: Names) -> Texts:
    name = names.function()
    head = '"""What orders cost."""\n'
    slow = f'''{head}

def {name}(orders, store):
    """The price of each order, a list of ids; what is not in the store costs nothing."""
    totals = []
    for ids in orders:
        total = 0
        for id in ids:
            row = store.get(id)
            if row is not None:
                total += row["price"]
        totals.append(total)
    return totals
'''
    fast = f'''{head}

def {name}(orders, store):
    """The price of each order, a list of ids; what is not in the store costs nothing."""
    wanted = sorted({{id for ids in orders for id in ids}})
    rows = store.get_many(wanted) if wanted else {{}}
    return [sum(rows[str(id)]["price"] for id in ids if str(id) in rows) for ids in orders]
'''
    return (
        slow,
        fast,
        _STORE
        + f"""
def measure(work, size, seed):
    dice = random.Random(seed)
    rows = goods(size, dice)
    store = Store(rows)
    orders = [[dice.randrange(size + 3) for _ in range(dice.randrange(6))] for _ in range(size)]
    truth = [sum(rows[str(id)]["price"] for id in ids if str(id) in rows) for ids in orders]
    return work.{name}(orders, store), truth, store.calls
""",
        f"`{name}(orders, store)` fetches rows; calls of the store's methods count, `get_many(ids)` as one.",
    )


def store_2(names: Names) -> Texts:
    name, of = names.function(), names.function()
    head = '"""Who makes what is ordered."""\n'
    slow = f'''{head}

def {of}(id, store):
    """The maker of one good, or 0."""
    row = store.get(id)
    return row["maker"] if row else 0


def {name}(orders, store):
    """The makers of each order, each once, in order."""
    return [sorted({{{of}(id, store) for id in ids}} - {{0}}) for ids in orders]
'''
    fast = f'''{head}

def {name}(orders, store):
    """The makers of each order, each once, in order."""
    wanted = sorted({{id for ids in orders for id in ids}})
    rows = store.get_many(wanted) if wanted else {{}}
    return [sorted({{rows[str(id)]["maker"] for id in ids if str(id) in rows}}) for ids in orders]
'''
    return (
        slow,
        fast,
        _STORE
        + f"""
def measure(work, size, seed):
    dice = random.Random(seed)
    rows = goods(size, dice)
    store = Store(rows)
    orders = [[dice.randrange(size + 3) for _ in range(dice.randrange(6))] for _ in range(size)]
    truth = [sorted({{rows[str(id)]["maker"] for id in ids if str(id) in rows}}) for ids in orders]
    return work.{name}(orders, store), truth, store.calls
""",
        f"`{name}(orders, store)` fetches rows; calls of the store's methods count, `get_many(ids)` as one.",
    )


def _two_steps(names: Names, most: int) -> Texts:
    name, maker = names.function(), names.function()
    head = '"""Where orders come from: a good has a maker, and a maker has a place."""\n'
    limit = f" It takes {most} ids at most." if most < 1000 else ""
    slow = f'''{head}

def {maker}(id, store):
    """The place of the maker of one good, or nowhere."""
    row = store.get(id)
    if row is None:
        return "nowhere"
    return store.get(row["maker"])["place"]


def {name}(orders, store):
    """How many goods of each order come from where, and from where the most of all come."""
    told = []
    for ids in orders:
        places = {{}}
        for id in ids:
            place = {maker}(id, store)
            places[place] = places.get(place, 0) + 1
        told.append(places)
    every = [{maker}(id, store) for ids in orders for id in ids]
    return told, max(sorted(set(every)), key=every.count) if every else ""
'''
    fast = f'''{head}

def many(ids, store):
    found, ids = {{}}, sorted(ids)
    for start in range(0, len(ids), {most}):
        found |= store.get_many(ids[start : start + {most}])
    return found


def {name}(orders, store):
    """How many goods of each order come from where, and from where the most of all come."""
    goods = many({{id for ids in orders for id in ids}}, store)
    makers = many({{row["maker"] for row in goods.values()}}, store)
    told, every = [], []
    for ids in orders:
        places = {{}}
        for id in ids:
            row = goods.get(str(id))
            place = makers[str(row["maker"])]["place"] if row else "nowhere"
            places[place] = places.get(place, 0) + 1
            every.append(place)
        told.append(places)
    return told, max(sorted(set(every)), key=every.count) if every else ""
'''
    return (
        slow,
        fast,
        _STORE
        + f"""
def measure(work, size, seed):
    dice = random.Random(seed)
    rows = goods(size, dice)
    for n in range(1000, 1000 + max(1, size // 3)):
        rows[str(n)] = {{"place": dice.choice(["north", "south", "coast"])}}
    store = Store(rows, {most})
    orders = [[dice.randrange(size + 3) for _ in range(dice.randrange(5))] for _ in range(size)]
    truth, every = [], []
    for ids in orders:
        found = [rows[str(rows[str(id)]["maker"])]["place"] if str(id) in rows else "nowhere" for id in ids]
        truth.append({{place: found.count(place) for place in found}})
        every += found
    most = max(sorted(set(every)), key=every.count) if every else ""
    result, top = work.{name}(orders, store)
    return [result, top], [truth, most], store.calls
""",
        f"`{name}(orders, store)` fetches rows; calls of the store's methods count, `get_many(ids)` as one.{limit}",
    )


def store_3(names: Names) -> Texts:
    return _two_steps(names, 10**6)


def store_4(names: Names) -> Texts:
    return _two_steps(names, 8)


# ── parse: work that is done again and again ──────────────────────────────────────────────────────

_PARSE = (
    _TOOLS
    + """    def parse(self, text):
        self.count()
        head, _, rest = text.partition(":")
        return {"head": head, "size": len(rest)}

    def fits(self, pattern, text):
        self.count()
        return text.startswith(pattern)


def texts(size, dice):
    words = ["".join(dice.choice("abc") for _ in range(3)) for _ in range(max(1, size // 4))]
    return [f"{dice.choice(words)}:{'x' * dice.randrange(9)}" for _ in range(size)]

"""
)


def parse_1(names: Names) -> Texts:
    """One word away: the search goes on after it has found."""
    name = names.function()

    def text(word: str) -> str:
        return f'''"""Which pattern a text fits."""


def {name}(texts, patterns, fits):
    """For each text the place of the first pattern that it fits, or -1."""
    made = []
    for text in texts:
        place = -1
        for n, pattern in enumerate(patterns):
            if place < 0 and fits(pattern, text):
                place = n
                {word}
            if place >= 0 and fits(pattern, pattern):
                continue
        made.append(place)
    return made
'''

    return (
        text("continue"),
        text("break"),
        _PARSE
        + f"""
def measure(work, size, seed):
    dice = random.Random(seed)
    given, counter = texts(size, dice), Counter()
    patterns = ["a", "b"] + ["".join(dice.choice("abc") for _ in range(2)) for _ in range(size // 2)] + ["c"]
    truth = [next((n for n, each in enumerate(patterns) if text.startswith(each)), -1) for text in given]
    return work.{name}(given, patterns, counter.fits), truth, counter.calls
""",
        f"`{name}(texts, patterns, fits)` looks for the first pattern of each text; calls of `fits` count.",
    )


def parse_2(names: Names) -> Texts:
    """One word away: the cache is asked for something else than it was told."""
    name, cached = names.function(), names.function()

    def text(key: str) -> str:
        return f'''"""Sizes of texts, by their heads."""


def {cached}(text, place, known, parse):
    """What a text parses to; it is parsed once."""
    if {key} not in known:
        known[{key}] = parse(text)
    return known[{key}]


def {name}(texts, parse):
    """The greatest size under each head."""
    known = {{}}
    made = {{}}
    for place, text in enumerate(texts):
        head = {cached}(text, place, known, parse)["head"]
        size = {cached}(text, place, known, parse)["size"]
        made[head] = max(made.get(head, 0), size)
    return made
'''

    return (
        text("(text, place)"),
        text("text"),
        _PARSE
        + f"""
def measure(work, size, seed):
    dice = random.Random(seed)
    few = texts(max(1, size // 9), dice)
    given, counter = [dice.choice(few) for _ in range(size * 4)], Counter()
    truth = {{}}
    for text in given:
        head, _, rest = text.partition(":")
        truth[head] = max(truth.get(head, 0), len(rest))
    return work.{name}(given, counter.parse), truth, counter.calls
""",
        f"`{name}(texts, parse)` parses texts; calls of `parse` count.",
    )


def parse_3(names: Names) -> Texts:
    name, first = names.function(), names.function()
    head = '"""Texts by head, and how the heads compare."""\n'
    slow = f'''{head}

def {first}(texts, head, parse):
    """The sizes under one head, in order."""
    return sorted(parse(text)["size"] for text in texts if parse(text)["head"] == head)


def {name}(texts, parse):
    """For each head the sizes under it; and the pairs of heads with the same sum."""
    heads = sorted({{parse(text)["head"] for text in texts}})
    table = {{head: {first}(texts, head, parse) for head in heads}}
    pairs = [[one, two] for one in heads for two in heads
             if one < two and sum({first}(texts, one, parse)) == sum({first}(texts, two, parse))]
    return [table, pairs]
'''
    fast = f'''{head}

def {name}(texts, parse):
    """For each head the sizes under it; and the pairs of heads with the same sum."""
    known = {{text: parse(text) for text in dict.fromkeys(texts)}}
    table = {{}}
    for text in texts:
        table.setdefault(known[text]["head"], []).append(known[text]["size"])
    table = {{head: sorted(table[head]) for head in sorted(table)}}
    pairs = [[one, two] for one in table for two in table if one < two and sum(table[one]) == sum(table[two])]
    return [table, pairs]
'''
    return (
        slow,
        fast,
        _PARSE
        + f"""
def measure(work, size, seed):
    given, counter = texts(size // 2, random.Random(seed)), Counter()
    table = {{}}
    for text in given:
        head, _, rest = text.partition(":")
        table.setdefault(head, []).append(len(rest))
    table = {{head: sorted(table[head]) for head in sorted(table)}}
    pairs = [[a, b] for a in table for b in table if a < b and sum(table[a]) == sum(table[b])]
    return work.{name}(given, counter.parse), [table, pairs], counter.calls
""",
        f"`{name}(texts, parse)` parses texts; calls of `parse` count.",
    )


def parse_4(names: Names) -> Texts:
    """Lines are read one by one from a source that can only go forward or start again; few may be held."""
    name, find = names.function(), names.function()
    head = '"""Lines of a source that can only go forward."""\n'
    slow = f'''{head}

def {find}(source, number):
    """One line: the source is begun again and read up to it."""
    source.restart()
    line = None
    for _ in range(number + 1):
        line = source.read()
        if line is None:
            return None
    return line


def {name}(source, wide):
    """The greatest sum of any `wide` lines that follow each other, and where they begin; [0, -1] when there are too few."""
    best, place, start = 0, -1, 0
    while True:
        window = [{find}(source, start + n) for n in range(wide)]
        if None in window:
            return [best, place]
        if place < 0 or sum(window) > best:
            best, place = sum(window), start
        start += 1
'''
    fast = f'''{head}

def {name}(source, wide):
    """The greatest sum of any `wide` lines that follow each other, and where they begin; [0, -1] when there are too few."""
    source.restart()
    window, best, place, start = [], 0, -1, 0
    while (line := source.read()) is not None:
        window.append(line)
        if len(window) > wide:
            window.pop(0)
            start += 1
        if len(window) == wide and (place < 0 or sum(window) > best):
            best, place = sum(window), start
    return [best, place]
'''
    return (
        slow,
        fast,
        _TOOLS
        + f"""

class Source(Counter):
    def __init__(self, lines):
        super().__init__()
        self.lines = lines
        self.at = 0

    def restart(self):
        self.at = 0

    def read(self):
        self.count()
        self.at += 1
        return self.lines[self.at - 1] if self.at <= len(self.lines) else None


def measure(work, size, seed):
    dice = random.Random(seed)
    lines, wide = [dice.randrange(1, 90) for _ in range(size // 2)], 4
    sums = [sum(lines[n : n + wide]) for n in range(len(lines) - wide + 1)]
    truth = [max(sums), sums.index(max(sums))] if sums else [0, -1]
    source = Source(lines)
    return work.{name}(source, wide), truth, source.calls
""",
        f"`{name}(source, wide)` reads lines; calls of `source.read()` count.",
    )


CASES: Mapping[str, Sequence[Callable[[Names], Texts]]] = {
    "order": (order_1, order_2, order_3, order_4),
    "store": (store_1, store_2, store_3, store_4),
    "parse": (parse_1, parse_2, parse_3, parse_4),
}
