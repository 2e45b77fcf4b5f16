"""What every part uses and nothing of restoration: errors, files, paths, costs. Nothing here can change a number."""
