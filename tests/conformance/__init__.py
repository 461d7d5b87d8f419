"""What any cluster does for a client, be it a fake or a real one; no test knows which it has."""
