"""What lasts on the server from one request to the next: Message Batches and Files."""
