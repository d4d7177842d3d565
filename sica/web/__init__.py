"""The viewer: one local page over an archive, live while a run goes on. It reads, and asks the run for things.

    guard.py    who may ask: this machine, this user, this page
    source.py   what answers are read from, kept until something changes
    lineage.py  agents, progress, matrix, comparisons as JSON
    live.py     what runs right now
    blocks.py   a trace's events as what people read;  tracefile.py  pages of a trace, never the whole file
    stream.py   everything that happens, as server-sent events
    hunks.py    git's diff as data
    export.py   the same page and its answers in one file
    app.py      which address answers what

docs/web-api.md is what the page in static/ is built on.
"""
