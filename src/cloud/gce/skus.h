/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Prices of machine types out of Google's Cloud Billing catalogue, which sells cores, memory, GPUs and disks by the hour and region and not
 * machines: what a type costs is put together from them. A type of which a part is not known, or sold otherwise, has no price here.
 */

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"

struct json_t;
struct gce_skus;

struct gce_skus *gce_skus_new(void);
void gce_skus_free(struct gce_skus *s);

/* A new reading begins, or one failed; the rates of the last complete one serve until it ends. */
void gce_skus_begin(struct gce_skus *s);
/* A page of it. refused: says which rate was not taken because it is none, or in another currency. Errors: -WEIR_EIO, -WEIR_ELIMIT. */
int gce_skus_read(struct gce_skus *s, const struct json_t *body, void (*refused)(void *ctx, const char *text), void *ctx, struct weir_err *err);
void gce_skus_end(struct gce_skus *s);

/* What a type costs, in micro-units per hour; -1 where that is not known. *ret_since: when the last of its rates began; 0: it is not told. */
int64_t gce_skus_price(const struct gce_skus *s, const char *type, struct weir_sv region, bool spot, uint32_t cpus, uint64_t mem_mib, uint32_t gpus,
                       struct weir_wall *ret_since);
