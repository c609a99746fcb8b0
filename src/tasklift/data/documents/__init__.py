"""A folder of documents as passages for a prompt: read, cut, searched, always as the folder is now."""
