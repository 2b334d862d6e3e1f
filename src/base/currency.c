/* SPDX-License-Identifier: Apache-2.0 */

#include "currency.h"

/* ISO 4217, list one (active codes); ANG and BGN, replaced in 2025 and 2026, too. Sorted. */
static const char codes[] = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
                            "CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
                            "GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD "
                            "KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO "
                            "NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
                            "SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV "
                            "WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ";

bool weir_currency_is_known(struct weir_sv code)
{
    enum { CODE_BYTES = 3 };
    for (size_t i = 0; code.n == CODE_BYTES && i + CODE_BYTES < sizeof codes; i += CODE_BYTES + 1) {
        if (weir_sv_eq(code, (struct weir_sv){codes + i, CODE_BYTES})) {
            return true;
        }
    }
    return false;
}
