"""One place that is asked."""

from poll import schedule


class Client:
    def __init__(self, values, ask):
        self.values, self.ask, self.failures = values, ask, 0

    def wait(self, busy):
        return schedule.usual_wait(self.values, busy) * schedule.growth(self.values, self.failures)


def next_wait_factor(client):
    """By what the usual wait is multiplied now."""
    return penalty(client)


def penalty(client):
    return schedule.growth(client.values, client.failures)
