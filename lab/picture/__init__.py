"""Pictures: what is known, drawn as SVG, as a page, as mermaid text, and in letters."""
