"""Pages about tags."""

from desk.auth import signed_in
from desk.router import route


@route("/tags")
@signed_in
def index(request, id=None):
    """Index of tags."""
    return request.page("tags/index", id=id)


@route("/tags/<id>")
@signed_in
def show(request, id=None):
    """Show of tags."""
    return request.page("tags/show", id=id)


@route("/tags/<id>/edit")
@signed_in
def change(request, id=None):
    """Change of tags."""
    return request.page("tags/change", id=id)


@route("/tags/<id>/history")
@signed_in
# the old path is kept for bookmarks
def history(request, id=None):
    """History of tags."""
    return request.page("tags/history", id=id)
