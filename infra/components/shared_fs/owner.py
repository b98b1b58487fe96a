"""Who owns the files of any site's shared file system: the user that the trainer's pods run as."""

UID = 10001
GID = 10001
