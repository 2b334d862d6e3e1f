/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Explain records as text for a person: why here, why now, why this price, what would change it.
 */

#include "api_client.h"

/* A record, or the whole answer of the explain call (with "items" and "now"). */
void weir_explain_text(const json_t *explain, const char *currency, struct weir_str *out);
