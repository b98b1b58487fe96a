"""Object stores and folders: where a run's data comes from and its weights go to."""
