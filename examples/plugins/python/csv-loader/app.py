"""What the component exports; nothing is to be filled in here."""

from hilora_plugin.component import loader
from plugin import CsvLoader

Loader, Reader = loader(CsvLoader())
