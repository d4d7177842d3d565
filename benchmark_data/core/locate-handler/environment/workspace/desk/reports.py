"""Pages about reports."""

from desk.auth import signed_in
from desk.router import route


@route("/reports")
@signed_in
def index(request, id=None):
    """Index of reports."""
    return request.page("reports/index", id=id)


@route("/reports/<id>")
@signed_in
def show(request, id=None):
    """Show of reports."""
    return request.page("reports/show", id=id)


@route("/reports/<id>/edit")
@signed_in
def change(request, id=None):
    """Change of reports."""
    return request.page("reports/change", id=id)


@route("/reports/<id>/history")
@signed_in
# the old path is kept for bookmarks
def history(request, id=None):
    """History of reports."""
    return request.page("reports/history", id=id)
