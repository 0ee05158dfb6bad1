"""The device's agent: it keeps the device at what the cloud desires, and the device at a model that works."""
