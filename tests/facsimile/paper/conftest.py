from tests.support.paper_results import correlations, counts, edit_tables, scene, sections

__all__ = ["correlations", "counts", "edit_tables", "scene", "sections"]
