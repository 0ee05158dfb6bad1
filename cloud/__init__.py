"""The top floor: model repository, fleet, rollouts and console."""
