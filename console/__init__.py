"""A page on which Workspaces, and what the functions did about them, can be watched: live, or as it was recorded."""
