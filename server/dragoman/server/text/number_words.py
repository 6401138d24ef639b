"""What languages write for numbers besides digits, and how they write digits: tables."""

from collections.abc import Mapping

_WORDS = {
    "en": """
        0 zero none no nil; 1 one a an first once single january jan; 2 two second twice both double half
        february feb; 3 three third thrice triple march mar; 4 four fourth quarter april apr; 5 five fifth may;
        6 six sixth june jun; 7 seven seventh july jul; 8 eight eighth august aug; 9 nine ninth september sep
        sept; 10 ten tens tenth october oct; 11 eleven eleventh november nov; 12 twelve twelfth dozen december
        dec; 13 thirteen; 14 fourteen; 15 fifteen; 16 sixteen; 17 seventeen; 18 eighteen; 19 nineteen; 20
        twenty; 30 thirty; 40 forty; 50 fifty half; 60 sixty; 70 seventy; 80 eighty; 90 ninety; 100 hundred
        hundreds; 1000 thousand thousands; 24 day""",
    "pt": """
        0 zero nenhum nenhuma; 1 um uma primeiro primeira única único janeiro jan; 2 dois duas segundo segunda
        ambos ambas duplo dupla dobro bidimensional meio meia metade fevereiro fev; 3 três terceiro terceira
        terceiros terço triplo tridimensional
        março mar; 4 quatro quarto quarta abril abr; 5 cinco quinto quinta maio mai; 6 seis sexto sexta junho
        jun; 7 sete sétimo sétima julho jul; 8 oito oitavo oitava agosto ago; 9 nove nono nona setembro set; 10
        dez dezena dezenas décimo décima outubro out; 11 onze novembro nov; 12 doze dúzia dezembro dez; 13
        treze; 14 quatorze catorze; 15 quinze; 16 dezesseis dezasseis; 17 dezessete dezassete; 18 dezoito; 19
        dezenove dezanove; 20 vinte; 30 trinta; 40 quarenta; 50 cinquenta metade; 60 sessenta; 70 setenta; 80
        oitenta; 90 noventa; 100 cem cento centena centenas; 1000 mil milhar milhares; 24 dia""",
    "es": """
        0 cero ningún ninguna; 1 un uno una primer primero primera único única enero; 2 dos segundo segunda
        ambos ambas doble medio media mitad febrero; 3 tres tercer tercero tercera tercio triple marzo; 4 cuatro
        cuarto cuarta abril; 5 cinco quinto quinta mayo; 6 seis sexto sexta junio; 7 siete séptimo séptima
        julio; 8 ocho octavo octava agosto; 9 nueve noveno novena septiembre setiembre; 10 diez decena decenas
        décimo décima octubre; 11 once noviembre; 12 doce docena diciembre; 13 trece; 14 catorce; 15 quince; 16
        dieciséis; 17 diecisiete; 18 dieciocho; 19 diecinueve; 20 veinte; 30 treinta; 40 cuarenta; 50 cincuenta
        mitad; 60 sesenta; 70 setenta; 80 ochenta; 90 noventa; 100 cien ciento centena centenas; 1000 mil millar
        millares; 24 día""",
    "fr": """
        0 zéro aucun aucune; 1 un une premier première seul seule janvier; 2 deux deuxième second seconde double
        demi demie moitié février; 3 trois troisième tiers triple mars; 4 quatre quatrième quart avril; 5 cinq
        cinquième mai; 6 six sixième juin; 7 sept septième juillet; 8 huit huitième août; 9 neuf neuvième
        septembre; 10 dix dixième octobre; 11 onze novembre; 12 douze douzaine décembre; 13 treize; 14 quatorze;
        15 quinze; 16 seize; 20 vingt; 30 trente; 40 quarante; 50 cinquante moitié; 60 soixante; 70 septante; 80
        octante; 90 nonante; 100 cent; 1000 mille; 24 jour""",
    "de": """
        0 null kein keine keinen; 1 ein eine einen einem einer eines eins erste ersten erster erstes einmal
        januar; 2 zwei zweite zweiten zweiter zweites zweimal beide beiden doppelt halb hälfte februar; 3 drei
        dritte dritten dritter dreimal märz; 4 vier vierte vierten viertel april; 5 fünf fünfte fünften mai; 6
        sechs sechste sechsten juni; 7 sieben siebte siebten juli; 8 acht achte achten august; 9 neun neunte
        neunten september; 10 zehn zehnte zehnten oktober; 11 elf elfte november; 12 zwölf zwölfte dutzend
        dezember; 13 dreizehn; 14 vierzehn; 15 fünfzehn; 16 sechzehn; 17 siebzehn; 18 achtzehn; 19 neunzehn; 20
        zwanzig; 30 dreißig; 40 vierzig; 50 fünfzig hälfte; 60 sechzig; 70 siebzig; 80 achtzig; 90 neunzig; 100
        hundert; 1000 tausend; 24 tag""",
    "it": """
        0 zero nessun nessuna nessuno; 1 un uno una primo prima unico unica gennaio; 2 due secondo seconda
        entrambi entrambe doppio doppia mezzo mezza metà febbraio; 3 tre terzo terza triplo marzo; 4 quattro
        quarto quarta aprile; 5 cinque quinto quinta maggio; 6 sei sesto sesta giugno; 7 sette settimo settima
        luglio; 8 otto ottavo ottava agosto; 9 nove nono nona settembre; 10 dieci decimo decima ottobre; 11
        undici novembre; 12 dodici dozzina dicembre; 13 tredici; 14 quattordici; 15 quindici; 16 sedici; 17
        diciassette; 18 diciotto; 19 diciannove; 20 venti; 30 trenta; 40 quaranta; 50 cinquanta metà; 60
        sessanta; 70 settanta; 80 ottanta; 90 novanta; 100 cento; 1000 mille mila; 24 giorno""",
}


def _table(entries: str) -> dict[str, frozenset[str]]:
    rows = (entry.split() for entry in entries.split(";"))
    return {number: frozenset(words) for number, *words in rows}


WORDS: Mapping[str, Mapping[str, frozenset[str]]] = {language: _table(rows) for language, rows in _WORDS.items()}
"""By language and number, the words that may stand for it: cardinals, ordinals, parts, months."""

_SCALES = {
    (2,): "hundred hundreds cento cem cien ciento cent cents hundert centinaia",
    (3,): "k thousand thousands mil mille mila tausend millier milliers migliaia milhar milhares tsd",
    (6,): """million millions mio milhão milhões milhao milhoes millón millones millionen milione milioni mi mln
        mn""",
    (
        9,
        12,
    ): """billion billions bn bi bilhão bilhões biliões mrd milliard milliards milliarde milliarden miliardo miliardi
        mld billón billones billionen bilione""",
    (12, 18): "trillion trillions tn trilhão trilhões trillón trillones trillionen",
}
SCALES: Mapping[str, tuple[int, ...]] = {word: powers for powers, words in _SCALES.items() for word in words.split()}
"""What words behind a number multiply it with, as powers of ten: of those with two, languages think differently."""

_CURRENCIES = {
    "dollar": "$ us$ usd dollar dollars dólar dólares dólar dollari",
    "real": "r$ brl reais",
    "euro": "€ eur euro euros",
    "pound": "£ gbp pound pounds libra libras livre livres pfund sterline",
    "yen": "¥ jpy yen iene ienes yenes",
    "rupee": "₹ inr rupee rupees rúpia rúpias rupia rupias",
}
Currency = str
CURRENCIES: Mapping[str, Currency] = {word: name for name, words in _CURRENCIES.items() for word in words.split()}
"""What stands beside an amount of money, and which money that is."""

_COMMA = """
    af az be bg bs ca cs da de el es et eu fi fr gl hr hu hy id is it ka kk ky lt lv mk nb nl nn no pl pt ro ru sk sl sq
    sr sv tr uk uz vi"""
_POINT_REGIONS = {"es-mx", "es-us", "es-pr", "es-gt", "es-hn", "es-ni", "es-pa", "es-do", "de-ch", "de-li", "it-ch"}
_SPACED = "be bg cs et fi fr hu hy ka kk ky lt lv nb nn no pl ru sk sq sv uk uz"


def marks(language: str) -> tuple[str, str]:
    """What a language writes between groups of digits, and before decimals."""
    tag = language.lower().replace("_", "-")
    primary = tag.partition("-")[0]
    if primary not in _COMMA.split() or tag in _POINT_REGIONS:
        return ",", "."
    return ("\u00a0" if primary in _SPACED.split() else "."), ","
