/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One suite for every provider: what the contract in cloud/provider.h promises, tried from outside.
 * A program per provider gives a subject and calls weir_conformance_run.
 */

#include <stdbool.h>

#include "cloud/provider.h"

struct weir_conformance_subject {
    const char *name;
    const struct weir_provider_ops *ops;
    const char *self_exe;
    /* Adds a machine of another owner to the world in data_dir; NULL: the suite opens a second
     * provider with another owner instead. */
    void (*add_foreign)(const char *data_dir, const char *owner, struct weir_wall now);
    /* What the catalogue has of the provider (on demand, then spot): region, type and GPUs; NULL: "two.large" in "here-1", two A100. */
    const char *region;
    const char *type;
    const char *gpu;
    uint16_t gpus;
    void (*clear)(void);                      /* switches all faults off; NULL: the provider's own fault method does */
    const char *(*getenv)(const char *name); /* the environment that the provider sees; NULL: none */
};

/* Runs the suite; returns the number of failed tests. */
int weir_conformance_run(const struct weir_conformance_subject *subject);
