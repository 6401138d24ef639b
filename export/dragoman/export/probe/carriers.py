"""Texts that forms are tried in: strings of interfaces and sentences, `{0}` to `{2}` being the places of the forms."""

import re
from collections.abc import Sequence

from dragoman.export.core.errors import ExportError

MOST = 60
"""Texts that are tried."""
_LEAST_WORDS = 4
_WORD = re.compile(r"\w+")
_PLACE = re.compile(r"\{[0-2]\}")


def carriers_of(language: str) -> tuple[str, ...]:
    """The texts of a language; English ones where there are none, as many names of theirs are in every language."""
    return _CARRIERS.get(language.partition("-")[0].lower(), _ENGLISH)


def carriers_from(texts: Sequence[str]) -> tuple[str, ...]:
    """Carriers made of texts: in each, a form stands for one of its words, or two of them. Raises `ExportError`."""
    made = [made for number, text in enumerate(texts) if (made := _carrier(text.strip(), 1 + number % 2)) is not None]
    if not made:
        raise ExportError(f"none of the texts has {_LEAST_WORDS} words: forms are tried in place of words")
    return tuple(made[:MOST])


def _carrier(text: str, number: int) -> str | None:
    """A text with so many forms in place of words; None of one that is too short, or has braces of its own."""
    words = [*_WORD.finditer(text)]
    if len(words) < _LEAST_WORDS or not {"{", "}"}.isdisjoint(text):
        return None
    for place in reversed(range(number)):
        start, end = words[(place + 1) * len(words) // (number + 1)].span()
        text = f"{text[:start]}{{{place}}}{text[end:]}"
    return text


def places(carrier: str) -> int:
    """How many forms a text takes."""
    return len(_PLACE.findall(carrier))


_ENGLISH = (
    "Hello {0}, you have {1} new messages.",
    "{0} of {1} files were copied to {2}.",
    "The file {0} could not be opened.",
    "Welcome back, {0}!",
    "Delete {0}?",
    "Are you sure that you want to remove {0} from {1}?",
    "{0} sent you a message.",
    "{0} and {1} like your photo.",
    "Set {0} to {1} before you start the program.",
    "Run {0} in the folder {1}.",
    "Signed in as {0}",
    "Your order {0} was shipped on {1}.",
    "Version {0} is available.",
    "Please send an email to {0} if you have any questions.",
    "See {0} for details.",
    "The value of {0} must be between {1} and {2}.",
    "{0} is required.",
    "Page {0} of {1}",
    "Showing {0} to {1} of {2} results",
    "The option {0} cannot be used together with {1}.",
    "Use the {0} function to read a line.",
    "This field must be unique for {0}.",
    "{0} must not be empty.",
    "Unable to connect to {0}: {1}",
    "Last changed by {0} on {1}",
    "Click {0} to continue, or {1} to go back.",
    "{0}: permission denied",
    "Your password for {0} will expire in {1} days.",
    "A user with the name {0} already exists.",
    "The package {0} depends on {1}, which is not installed.",
    "Copyright {0} by {1}. All rights reserved.",
    "It costs {0} a month.",
    "We will meet at {0} on Monday.",
    "Add {0} to the list of {1}",
    "{0} followers",
    "Thank you for using {0}.",
    "The connection to {0} was lost after {1} seconds.",
    "Enter a whole number that is greater than {0}.",
    "Could not find {0} in {1}, trying {2} instead.",
    "You are receiving this message because {0} has asked for a new password.",
    "Open the link {0} in your browser.",
    "{0} ({1})",
    "Do not have an account? {0} Sign up {1} now.",
    "If you have not created an account yet, then please {0} register {1} first.",
    "Read our {0} terms of service {1} and the {2}.",
    "The {0} field cannot be changed to {1} because {2} uses it.",
    "No {0} was found that matches the search.",
    "{0} was added successfully. You may edit it again below.",
    "This library provides {0} and {1} for programs that read images.",
    "{0} is a program for editing text that was written in 1991.",
    "With {0}, you can share photos with your friends.",
    "Download {0} and install it on your computer.",
    "Warning: {0} will be removed in version {1}.",
    "Every {0} minutes",
    "From {0} until {1}",
    "Your code is {0}. Do not share it with anyone.",
    "The team of {0} won the game against {1}.",
    "What is new in {0}?",
    "Sort by {0}",
    "{0} has joined the group {1}.",
)
_CARRIERS = {
    "en": _ENGLISH,
    "pt": (
        "Olá {0}, você tem {1} novas mensagens.",
        "{0} de {1} arquivos foram copiados para {2}.",
        "O arquivo {0} não pôde ser aberto.",
        "Bem-vindo de volta, {0}!",
        "Tem certeza de que deseja remover {0} de {1}?",
        "{0} enviou uma mensagem para você.",
        "Defina {0} como {1} antes de iniciar o programa.",
        "Seu pedido {0} foi enviado em {1}.",
        "A versão {0} está disponível.",
        "Envie um email para {0} se tiver alguma dúvida.",
        "O valor de {0} deve estar entre {1} e {2}.",
        "{0} é obrigatório.",
        "Página {0} de {1}",
        "A opção {0} não pode ser usada junto com {1}.",
        "Não foi possível conectar a {0}: {1}",
        "Clique em {0} para continuar ou em {1} para voltar.",
        "Já existe um usuário com o nome {0}.",
        "O pacote {0} depende de {1}, que não está instalado.",
        "Custa {0} por mês.",
        "Vamos nos encontrar em {0} na segunda-feira.",
        "A conexão com {0} foi perdida após {1} segundos.",
        "Leia nossos {0} termos de serviço {1} e a {2}.",
        "Nenhum {0} foi encontrado.",
        "A equipe de {0} ganhou o jogo contra {1}.",
    ),
    "es": (
        "Hola {0}, tienes {1} mensajes nuevos.",
        "Se copiaron {0} de {1} archivos en {2}.",
        "No se pudo abrir el archivo {0}.",
        "¡Bienvenido de nuevo, {0}!",
        "¿Seguro que quieres eliminar {0} de {1}?",
        "{0} te envió un mensaje.",
        "Tu pedido {0} se envió el {1}.",
        "La versión {0} está disponible.",
        "Escribe a {0} si tienes alguna pregunta.",
        "El valor de {0} debe estar entre {1} y {2}.",
        "Página {0} de {1}",
        "La opción {0} no se puede usar junto con {1}.",
        "No se pudo conectar con {0}: {1}",
        "Haz clic en {0} para continuar o en {1} para volver.",
        "Ya existe un usuario con el nombre {0}.",
        "El paquete {0} depende de {1}, que no está instalado.",
        "Cuesta {0} al mes.",
        "Nos vemos en {0} el lunes.",
        "Lee nuestras {0} condiciones {1} y la {2}.",
        "El equipo de {0} ganó el partido contra {1}.",
    ),
    "fr": (
        "Bonjour {0}, vous avez {1} nouveaux messages.",
        "{0} fichiers sur {1} ont été copiés dans {2}.",
        "Impossible d'ouvrir le fichier {0}.",
        "Bon retour, {0} !",
        "Voulez-vous vraiment supprimer {0} de {1} ?",
        "{0} vous a envoyé un message.",
        "Votre commande {0} a été expédiée le {1}.",
        "La version {0} est disponible.",
        "Écrivez à {0} si vous avez des questions.",
        "La valeur de {0} doit être comprise entre {1} et {2}.",
        "Page {0} sur {1}",
        "L'option {0} ne peut pas être utilisée avec {1}.",
        "Connexion à {0} impossible : {1}",
        "Cliquez sur {0} pour continuer ou sur {1} pour revenir.",
        "Un utilisateur du nom de {0} existe déjà.",
        "Le paquet {0} dépend de {1}, qui n'est pas installé.",
        "Cela coûte {0} par mois.",
        "Nous nous retrouverons à {0} lundi.",
        "Lisez nos {0} conditions d'utilisation {1} et la {2}.",
        "L'équipe de {0} a gagné le match contre {1}.",
    ),
    "de": (
        "Hallo {0}, Sie haben {1} neue Nachrichten.",
        "{0} von {1} Dateien wurden nach {2} kopiert.",
        "Die Datei {0} konnte nicht geöffnet werden.",
        "Willkommen zurück, {0}!",
        "Möchten Sie {0} wirklich aus {1} entfernen?",
        "{0} hat Ihnen eine Nachricht geschickt.",
        "Ihre Bestellung {0} wurde am {1} verschickt.",
        "Version {0} ist verfügbar.",
        "Schreiben Sie an {0}, wenn Sie Fragen haben.",
        "Der Wert von {0} muss zwischen {1} und {2} liegen.",
        "Seite {0} von {1}",
        "Die Option {0} kann nicht zusammen mit {1} verwendet werden.",
        "Keine Verbindung zu {0}: {1}",
        "Klicken Sie auf {0}, um fortzufahren, oder auf {1}, um zurückzugehen.",
        "Ein Benutzer mit dem Namen {0} existiert bereits.",
        "Das Paket {0} benötigt {1}, das nicht installiert ist.",
        "Es kostet {0} im Monat.",
        "Wir treffen uns am Montag in {0}.",
        "Lesen Sie unsere {0} Nutzungsbedingungen {1} und die {2}.",
        "Die Mannschaft von {0} gewann das Spiel gegen {1}.",
    ),
}
