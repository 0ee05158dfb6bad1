"""A device that takes part in federated learning: NumPy, onnxruntime and paho-mqtt, and no Flower.

`work` is what a device does, `store` what it keeps across restarts, `client` joins both to the link.
"""
