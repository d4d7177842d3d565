"""Pages about queues."""

from desk.auth import signed_in
from desk.router import route


@route("/queues")
@signed_in
def index(request, id=None):
    """Index of queues."""
    return request.page("queues/index", id=id)


@route("/queues/<id>")
@signed_in
def show(request, id=None):
    """Show of queues."""
    return request.page("queues/show", id=id)


@route("/queues/<id>/edit")
@signed_in
def change(request, id=None):
    """Change of queues."""
    return request.page("queues/change", id=id)


@route("/queues/<id>/history")
@signed_in
# the old path is kept for bookmarks
def history(request, id=None):
    """History of queues."""
    return request.page("queues/history", id=id)
