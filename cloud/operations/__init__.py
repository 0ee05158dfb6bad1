"""Keeping a cloud alive: backup and restore, and the lines of its log."""

from cloud.operations.backup import Backup, backup, restore

__all__ = ["Backup", "backup", "restore"]
