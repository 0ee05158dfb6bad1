"""The auto-tuner: which engine, provider, threads and layout are fastest here for a model, measured once and kept."""
