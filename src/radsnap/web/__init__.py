"""The online tool: pages and an API over one chain of networks, one store of cases."""
