"""The recorder of a cluster: keeps what all functions record, and gives it back as recordings that replay."""
