"""The worker: leases jobs from the console and trains them. A supervisor without torch, and a warm training process."""
