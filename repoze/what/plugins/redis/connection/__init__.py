"""The way to the server and back: clients, connections, one question at a time, what went wrong."""
