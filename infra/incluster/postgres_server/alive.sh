#!/bin/sh
# 0: takes connections; 1: starts, or applies what it was sent. A server that does not answer at all (2) is started anew.
pg_isready -q -h "$RUN" || [ $? -eq 1 ]
