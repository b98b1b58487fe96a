"""Object stores: one protocol over folders and buckets, grants for workers, and the check that makes a checkpoint published."""
