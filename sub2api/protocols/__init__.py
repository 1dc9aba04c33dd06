"""The four wires that clients and vendors speak. Pure: bytes in, bytes out."""
