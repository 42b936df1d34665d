"""What every web door needs, once: certificates, addresses, pairing, tokens, bounds, headers, the server."""
