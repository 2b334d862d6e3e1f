/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Explain records for a terminal: the broker's own words, and the candidates' terms as a table.
 */

#include "api_client.h"

/*
 * A record, or the whole answer of the explain call (with "items" and "now"). by_decision: records that say the same
 * of different tasks are told once, with the number of tasks.
 */
void weir_explain_text(const json_t *explain, const char *currency, bool by_decision, struct weir_str *out);
