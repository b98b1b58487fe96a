"""The console's home and its streaming standby in another cloud: how they stand, and moving the home."""
