"""Currencies of ISO 4217: codes, numbers, decimal digits, and the other ways in which people write them."""

from __future__ import annotations

# Alphabetic code and number; codes withdrawn in the last years are still written. Codes that are no money to pay with (metals, funds
# of the IMF, tests) are not here.
_TWO_DIGITS = """
AED784 AFN971 ALL008 AMD051 ANG--- AOA973 ARS032 AUD036 AWG533 AZN944 BAM977 BBD052 BDT050 BGN975 BMD060 BND096 BOB068 BOV984 BRL986
BSD044 BTN064 BWP072 BYN933 BZD084 CAD124 CDF976 CHE947 CHF756 CHW948 CNY156 COP170 COU970 CRC188 CUC931 CUP192 CVE132 CZK203 DKK208
DOP214 DZD012 EGP818 ERN232 ETB230 EUR978 FJD242 FKP238 GBP826 GEL981 GHS936 GIP292 GMD270 GTQ320 GYD328 HKD344 HNL340 HRK191 HTG332
HUF348 IDR360 ILS376 INR356 IRR364 JMD388 KES404 KGS417 KHR116 KPW408 KYD136 KZT398 LAK418 LBP422 LKR144 LRD430 LSL426 MAD504 MDL498
MGA969 MKD807 MMK104 MNT496 MOP446 MRU929 MUR480 MVR462 MWK454 MXN484 MXV979 MYR458 MZN943 NAD516 NGN566 NIO558 NOK578 NPR524 NZD554
PAB590 PEN604 PGK598 PHP608 PKR586 PLN985 QAR634 RON946 RSD941 RUB643 SAR682 SBD090 SCR690 SDG938 SEK752 SGD702 SHP654 SLE925 SLL694
SOS706 SRD968 SSP728 STN930 SVC222 SYP760 SZL748 THB764 TJS972 TMT934 TOP776 TRY949 TTD780 TWD901 TZS834 UAH980 USD840 USN997 UYU858
UZS860 VED926 VES928 WST882 XCD951 XCG532 YER886 ZAR710 ZMW967 ZWG924 ZWL932
"""
_OTHERS = {
    0: "BIF108 CLP152 DJF262 GNF324 ISK352 JPY392 KMF174 KRW410 PYG600 RWF646 UGX800 UYI940 VND704 VUV548 XAF950 XOF952 XPF953",
    3: "BHD048 IQD368 JOD400 KWD414 LYD434 OMR512 TND788",
    4: "CLF990 UYW927",
}
_WRITTEN = {
    "RUB": "RUR 810 Р РУБ РУБЛЬ РУБЛЯ РУБЛИ РУБЛЕЙ РУБЛЯХ ₽",
    "KZT": "ТГ ТЕНГЕ ₸",
    "BYN": "БЕЛ.РУБ BR",
    "UAH": "ГРН ГРИВНА ГРИВНЫ ГРИВЕН ₴",
    "UZS": "СУМ СУМОВ",
    "KGS": "СОМ СОМОВ",
    "AMD": "ДРАМ ДРАМОВ ֏",
    "GEL": "ЛАРИ ₾",
    "EUR": "ЕВРО €",
    "GBP": "£",
    "TRY": "₺",
    "INR": "₹",
}
"""Other spellings, in upper case and without a last point. A sign that several currencies share (``$``, ``¥``) is none of them."""


def _digits() -> dict[str, int]:
    groups = {2: _TWO_DIGITS, **_OTHERS}
    return {entry[:3]: digits for digits, entries in groups.items() for entry in entries.split()}


def _spellings() -> dict[str, str]:
    found: dict[str, str] = {}
    for entries in (_TWO_DIGITS, *_OTHERS.values()):
        for entry in entries.split():
            found[entry[:3]] = found[entry[3:]] = entry[:3]
    del found["---"]
    found.update({written: code for code, spellings in _WRITTEN.items() for written in spellings.split()})
    return found


DECIMAL_DIGITS = _digits()
"""Decimal digits by alphabetic code."""
_CODES = _spellings()
_LONGEST = 16


def currency_code(value: object) -> str | None:
    """Return the alphabetic code of a currency that is written by code (in any case), number, word or sign, else None.

    The rouble before 1998 (RUR, 810) is still written for the rouble of today.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _CODES.get(f"{value:03d}") if 0 <= value < 1000 else None
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = value.strip().removesuffix(".").upper()
    return _CODES.get(text.zfill(3) if text.isascii() and text.isdigit() else text)
