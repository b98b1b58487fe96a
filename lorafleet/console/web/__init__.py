"""The console's pages: rendered on the server, read without scripts, in English and Chinese."""
