"""Tasks made from a repository that people have: deterministic given repository, revision and seed, without a model.

    locate   where is the thing defined that this line uses?        (locate.py)
    edits    make the edits that one commit made, told as hunks     (edits.py)

A generator yields candidates and says why each other one was left out; `folder.py` writes what was chosen. Everything
is read from git's objects, in sorted order: the work tree, its hooks and its caches have no say, and no history, remote
or later commit reaches a workspace.
"""
