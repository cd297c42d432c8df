"""What the component exports; nothing is to be filled in here."""

from hilora_plugin.component import classifier
from plugin import CustomClassifier

Classifier = classifier(CustomClassifier())
