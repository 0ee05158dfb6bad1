"""Rollouts: a release reaches the fleet in phases, behind gates, and goes back by itself when one is breached."""

from cloud.rollouts.rollouts import Plan, Progress, Rollout, Rollouts
from cloud.rollouts.spec import Gates, Phase, Spec
from cloud.rollouts.step import Decision, State, step

__all__ = ["Decision", "Gates", "Phase", "Plan", "Progress", "Rollout", "Rollouts", "Spec", "State", "step"]
