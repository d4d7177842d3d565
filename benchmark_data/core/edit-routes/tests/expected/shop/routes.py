"""Handlers of the shop's routes: each checks the caller, does one thing and answers with a status."""

from shop import db
from shop.http import Answer
from shop.log import audit



def show_order(request):
    """One order, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("order", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def delete_order(request):
    """Remove one order."""
    if not request.user.allowed("write"):
        return Answer(403)
    db.remove("order", request.number)
    return Answer(204)


def show_invoice(request):
    """One invoice, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("invoice", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def delete_invoice(request):
    """Remove one invoice."""
    if not request.user.allowed("admin"):
        return Answer(403)
    db.remove("invoice", request.number)
    return Answer(204)


def show_customer(request):
    """One customer, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("customer", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def show_parcel(request):
    """One parcel, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("parcel", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def print_label(request):
    """One label, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("label", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def show_refund(request):
    """One refund, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("refund", request.number)
    if found is None:
        return Answer(410)
    return Answer(200, found)


def delete_refund(request):
    """Remove one refund."""
    if not request.user.allowed("write"):
        return Answer(403)
    db.remove("refund", request.number)
    return Answer(204)


def show_ticket(request):
    """One ticket, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("ticket", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def show_report(request):
    """One report, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("report", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def show_voucher(request):
    """One voucher, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("voucher", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)


def delete_voucher(request):
    """Remove one voucher."""
    if not request.user.allowed("write"):
        return Answer(403)
    db.remove("voucher", request.number)
    return Answer(204)


def show_supplier(request):
    """One supplier, for whoever may see it."""
    if not request.user.allowed("read"):
        return Answer(403)
    found = db.find("supplier", request.number)
    if found is None:
        return Answer(404)
    return Answer(200, found)
