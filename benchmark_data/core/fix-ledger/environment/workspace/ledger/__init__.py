"""A ledger kept in whole cents."""

from ledger.book import Book


def statement(lines):
    """Lines such as "rent -700.00" -> the statement's lines, the balance last."""
    book = Book()
    for line in lines:
        book.enter(line)
    return book.statement()
