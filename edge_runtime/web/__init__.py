"""A bundle in a browser: the folder that a phone opens, and an emulated phone to try it in."""
