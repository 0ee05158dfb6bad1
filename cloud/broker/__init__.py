"""The broker's shards: independent brokers side by side, for devices never talk to each other."""
