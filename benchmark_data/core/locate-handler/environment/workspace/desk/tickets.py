"""Pages about tickets."""

from desk.auth import signed_in
from desk.router import route


@route("/tickets")
@signed_in
def index(request, id=None):
    """Index of tickets."""
    return request.page("tickets/index", id=id)


@route("/tickets/<id>")
@signed_in
def show(request, id=None):
    """Show of tickets."""
    return request.page("tickets/show", id=id)


@route("/tickets/<id>/edit")
@signed_in
def change(request, id=None):
    """Change of tickets."""
    return request.page("tickets/change", id=id)


@route("/tickets/<id>/history")
@signed_in
# the old path is kept for bookmarks
def history(request, id=None):
    """History of tickets."""
    return request.page("tickets/history", id=id)
