"""What lies in an OCI registry, read as a plain user: no docker, no privilege."""
