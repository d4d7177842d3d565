"""Settings of the service. Read once at the start."""

HOST = "127.0.0.1"
PORT = 8080

# Connections beyond this are refused with a friendly page.
MAX_CONNECTIONS = 250
MAX_CONNECTIONS_PER_HOST = 10

# Seconds.
CONNECT_TIMEOUT = 5
READ_TIMEOUT = 30

LOG_LEVEL = "info"
LOG_FILE = "/var/log/service.log"


def address():
    """Where the service listens."""
    return f"{HOST}:{PORT}"
