"""The settings of a pre-training, as files that can be copied and changed: small.toml and paper.toml."""
