/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The currencies of the world: ISO 4217 codes, and into how many decimal places each is divided. Amounts are micro-units of any of them;
 * the places only say how an amount is shown to people.
 */

#include <stdbool.h>

enum { WEIR_CURRENCY_SIZE = 4 };

/* Is it the code of a currency that is in use? Capitals. */
bool weir_currency_is_known(const char *code);
/* The places of its minor unit: 2 of EUR, 0 of JPY, 3 of KWD; 2 where it is not known. */
int weir_currency_places(const char *code);
