"""Pages about rules."""

from desk.auth import signed_in
from desk.router import route


@route("/rules")
@signed_in
def index(request, id=None):
    """Index of rules."""
    return request.page("rules/index", id=id)


@route("/rules/<id>")
@signed_in
def show(request, id=None):
    """Show of rules."""
    return request.page("rules/show", id=id)


@route("/rules/<id>/edit")
@signed_in
def change(request, id=None):
    """Change of rules."""
    return request.page("rules/change", id=id)


@route("/rules/<id>/history")
@signed_in
# the old path is kept for bookmarks
def history(request, id=None):
    """History of rules."""
    return request.page("rules/history", id=id)
