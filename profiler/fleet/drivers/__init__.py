"""How workers are started, heard and stopped: as processes of this machine, or as tasks of a Ray cluster."""
