"""The console: web page, API, dispatcher and guard. It knows no torch; workers and pipelines reach it over HTTPS only."""
