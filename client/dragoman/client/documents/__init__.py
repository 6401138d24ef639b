"""Documents: files of many formats, translated text by text, with all else as it was.

from dragoman.client import Client, Options
from dragoman.client.documents import translate_document

with Client() as client:
    report = translate_document(client, "notes.txt", "notas.txt", Options(target_language="pt"))
"""

from dragoman.client.documents.document import DocumentOptions
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.job import Problem, Progress, Report
from dragoman.client.documents.translating import translate_data, translate_document, translate_document_async

__all__ = [
    "DocumentError",
    "DocumentOptions",
    "Problem",
    "Progress",
    "Report",
    "translate_data",
    "translate_document",
    "translate_document_async",
]
