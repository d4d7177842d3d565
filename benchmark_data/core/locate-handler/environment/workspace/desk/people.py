"""Pages about people."""

from desk.auth import signed_in
from desk.router import route


@route("/people")
@signed_in
def index(request, id=None):
    """Index of people."""
    return request.page("people/index", id=id)


@route("/people/<id>")
@signed_in
def show(request, id=None):
    """Show of people."""
    return request.page("people/show", id=id)


@route("/people/<id>/edit")
@signed_in
def change(request, id=None):
    """Change of people."""
    return request.page("people/change", id=id)


@route("/people/<id>/history")
@signed_in
# the old path is kept for bookmarks
def history(request, id=None):
    """History of people."""
    return request.page("people/history", id=id)
