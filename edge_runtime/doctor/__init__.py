"""What this device has to run models with, what it lacks, and the line that installs it."""
