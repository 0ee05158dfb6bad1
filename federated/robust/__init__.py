"""Aggregation that a minority of hostile devices cannot steer, and the report of who was set aside and why.

`parse("multi-krum:f=0.2")` gives a rule; a rule takes a round's submissions and gives the change of the model and a
verdict on each device. Everything here is numpy on flat vectors, one technique a file.
"""

from federated.robust.rule import DEFAULT, parse
from federated.robust.submission import Outcome, Rule, Submission, Verdict

__all__ = ["DEFAULT", "Outcome", "Rule", "Submission", "Verdict", "parse"]
