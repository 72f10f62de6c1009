"""What one request leaves behind for the next: the prompt cache, why it missed, and conversations that the server holds."""
