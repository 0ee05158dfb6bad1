"""The top floor: model repository, fleet, rollouts and console. It holds nothing yet and promises nothing."""
