"""The rich front end; only the modules in here know prompt_toolkit."""
