"""Static files with hashed names, imports of ES modules included."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped package
    """Whitenoise's storage, told to rewrite `import` paths too."""

    support_js_module_import_aggregation = True
