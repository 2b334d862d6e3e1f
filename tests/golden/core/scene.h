/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scenario of the golden traces while it is played (golden_core.c), and how what follows from its events is rendered (render.c). */

#include "unit/core/world.h"

enum { PROVIDER_QUOTAS_MAX = 8 };

struct scene {
    struct world w;
    struct weir_str out;
    struct weir_gpu_table *gpus;
    struct weir_provider_quota provider_quota[PROVIDER_QUOTAS_MAX]; /* to be sent */
    size_t n_provider_quotas;
    struct weir_provider_quota told[PROVIDER_QUOTAS_MAX]; /* sent last */
    size_t n_told;
    int64_t told_us;
    int64_t start_us;
    const char *name;
    int line;
};

/* Since the scenario's beginning. */
void out_time(struct scene *s, int64_t us);
void out_money(struct scene *s, int64_t micro);
void out_effect(struct scene *s, const struct weir_effect *e);
void out_explain(struct scene *s, const struct weir_explain *x);
