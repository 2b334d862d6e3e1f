/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a look at a provider found (the contract's check), and what any call tells of the way there. */

#include "base/vec.h"
#include "cloud/call.h"

/* Zero is empty. */
struct weir_checks {
    WEIR_VEC(struct weir_check) row;
};

/* remedy NULL: there is nothing to do. */
void weir_checks_add(struct weir_checks *k, const char *name, enum weir_check_verdict verdict, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/*
 * Adds "endpoint", "credentials" and "clock", as far as the answer tells of them. now: our clock. keys: where the provider's key is to be
 * set, for the remedy. True where the provider has answered and knows who asks, whatever it made of the request.
 */
bool weir_checks_reach(struct weir_checks *k, const struct weir_cloud_answer *a, const char *provider, struct weir_wall now, const char *keys);
void weir_checks_release(struct weir_checks *k);
