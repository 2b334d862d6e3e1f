/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Codes of currencies: those of ISO 4217, list one, that stand for money in use, and a few that bills of the last years still have. */

#include <stdbool.h>

#include "str.h"

/* In capitals. False for metals, funds of the standard's tests, and what is no code. */
bool weir_currency_is_known(struct weir_sv code);
