"""What is wrong with a server, or will be soon, by what it says of itself."""

CONDITIONS = {
    "It has thrown keys away, and rights with them: set maxmemory-policy to noeviction.": (
        lambda info: info["evicted_keys"]
    ),
    "Its memory is almost full: soon it refuses to give rights.": (
        lambda info: info["maxmemory"] and info["used_memory"] > 0.8 * info["maxmemory"]
    ),
    "It has refused connections: raise maxclients, or have fewer.": (
        lambda info: info["rejected_connections"]
    ),
    "Its last snapshot failed.": lambda info: info["rdb_last_bgsave_status"] != "ok",
    "It keeps no append-only file.": lambda info: not info["aof_enabled"],
    "Its append-only file cannot be written.": (
        lambda info: info.get("aof_last_write_status", "ok") != "ok"
    ),
    "It has no replica.": lambda info: info["role"] == "master" and not info["connected_slaves"],
    "It is a replica that is cut off from its primary.": (
        lambda info: info["role"] == "slave" and info["master_link_status"] != "up"
    ),
}


def troubles(client):
    """Return a line for each trouble of the server that redis-py's *client* is connected to."""
    info = client.info()
    return [trouble for trouble, holds in CONDITIONS.items() if holds(info)]
