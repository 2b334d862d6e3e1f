/* SPDX-License-Identifier: Apache-2.0 */

/* The codes are those of ISO 4217, list one, without funds, metals and codes for tests. */

#include "currency.h"

#include <stddef.h>
#include <string.h>

#include "mem.h"
#include "str.h"

/* By the places of the minor unit, each code with a blank behind it. */
static const char *const codes[] = {
    [0] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF ",
    [1] = "",
    [2] = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP "
          "DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD "
          "LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD "
          "SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW "
          "ZWG ",
    [3] = "BHD IQD JOD KWD LYD OMR TND ",
};

static int find(const char *code)
{
    if (strlen(code) == WEIR_CURRENCY_SIZE - 1) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(codes); i++) {
            for (const char *c = codes[i]; *c != '\0'; c += WEIR_CURRENCY_SIZE) {
                if (memcmp(c, code, WEIR_CURRENCY_SIZE - 1) == 0) {
                    return (int)i;
                }
            }
        }
    }
    return -1;
}

bool weir_currency_is_known(const char *code)
{
    return find(code) >= 0;
}

int weir_currency_places(const char *code)
{
    int places = find(code);
    return places < 0 ? 2 : places;
}
