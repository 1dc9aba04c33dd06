"""The schema's history: expand-only revisions, so that the previous release runs on the new one."""
