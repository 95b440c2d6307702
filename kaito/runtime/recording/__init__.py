"""What a function was told, what it saw, decided and wrote, kept so that it can be looked at and decided again."""
