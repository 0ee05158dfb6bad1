"""The rules, one file a family of operators. A file that is put here is found: it registers its rules by itself."""

import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
