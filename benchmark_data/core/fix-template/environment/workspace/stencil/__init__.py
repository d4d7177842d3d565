"""Fills in templates: {{ name|filter }}, {% if name %}...{% else %}...{% end %}, {% each x in xs %}...{% end %}."""

from stencil.blocks import build
from stencil.render import render
from stencil.scan import pieces
from stencil.scope import Scope


def fill(template, names):
    """The template with everything filled in. ValueError for a template that is not well formed."""
    return render(build(pieces(template)), Scope(names))
