"""Serving: models over HTTP by the Open Inference Protocol, batched as requests arrive, swapped without a gap."""
