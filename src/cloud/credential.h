/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A credential that ages: fetched when first needed, by one fetch for all who wait, kept until shortly before its end, and fetched
 * anew before that. While it is still valid a fetch that fails does no harm: the old one serves on. The secret itself
 * lies with the driver; this keeps its time.
 */

#include "cloud/provider.h"

struct weir_credential;

/* Must end in weir_credential_set or weir_credential_fail, once, at once or later. */
typedef void weir_credential_fetch_fn(void *ctx, struct weir_credential *c);
/* class OK: it is there. Else it is not, and text says why. */
typedef void weir_credential_ready_fn(void *ctx, enum weir_provider_class class, const char *text);

/* before: how long before its end it is fetched anew. */
struct weir_credential *weir_credential_new(const struct weir_clock *clock, struct weir_dur before, weir_credential_fetch_fn *fetch, void *ctx);
/* Those who wait are forgotten. */
void weir_credential_free(struct weir_credential *c);

/* It is there, until expires (WEIR_WALL_MAX: for ever). */
void weir_credential_set(struct weir_credential *c, struct weir_wall expires);
/* class is not OK. */
void weir_credential_fail(struct weir_credential *c, enum weir_provider_class class, const char *text);

/* Calls ready, at once where it is there. fresh: the one that is there was refused; *generation is then the one that was used, so that it
 * is fetched once for all whom it was refused. On return *generation is that of the one that is there, or comes. */
void weir_credential_use(struct weir_credential *c, bool fresh, uint64_t *generation, weir_credential_ready_fn *ready, void *ctx);
/* ready does not come any more for that ctx. */
void weir_credential_forget(struct weir_credential *c, const void *ctx);
