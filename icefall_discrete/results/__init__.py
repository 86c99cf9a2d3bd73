"""JSON in, pages out: result.json, tables, RESULTS.md, charts; figures by name."""
