"""Settings of the service. Read once at the start."""

HOST = "127.0.0.1"
PORT = 8080
LEGACY_PORT = 8081  # nobody has connected to it since 2019

# Connections beyond this are refused with a friendly page.
MAX_CONNECTIONS = 100
MAX_CONNECTIONS_PER_HOST = 10

# Seconds.
CONNECT_TIMEOUT = 5
READ_TIMEOUT = 30

LOG_LEVEL = "warning"
LOG_FILE = "/var/log/service.log"


def address():
    """Where the service listens."""
    return f"{HOST}:{PORT}"
