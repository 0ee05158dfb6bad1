"""Who takes part in a round, how long it waits, and what becomes of those that come late."""
