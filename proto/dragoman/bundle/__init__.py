"""The contract on disk between export and server: the manifest, and how a bundle is opened and written."""
