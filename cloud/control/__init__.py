"""The controller: the one process between the brokers and the database."""
