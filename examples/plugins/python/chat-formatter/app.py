"""What the component exports; nothing is to be filled in here."""

from hilora_plugin.component import formatter
from plugin import ChatFormatter

Formatter = formatter(ChatFormatter())
