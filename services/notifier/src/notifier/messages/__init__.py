"""What is said and how it looks: documents, wording, layouts of the channels, packing into messages."""
