"""Pulumi's engine, driven by its automation API: a site's stacks in their order, told live."""
