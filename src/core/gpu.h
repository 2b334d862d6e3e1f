/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * GPU models. A built-in table gives the known ones with memory, board power and relative
 * throughput; others are added by name as they are met and get neutral figures. The number of a
 * model is stable within one table only: stores and wires carry names.
 *
 * Names follow SkyPilot's catalogue ("A100" is the 40 GB card, "A100-80GB" the other). A name that is
 * a family ("A100", "V100", "H100", "RTX6000") also stands for its larger-memory members when a
 * request names it; see weir_gpu_table_match.
 *
 * A table has no lock: any number of threads may find, get and match, but an intern (also the one
 * inside weir_spec_parse and weir_spec_from_json) may run beside nothing else.
 */

#include "base/map.h"
#include "base/str.h"

struct weir_gpu_model {
    const char *name;   /* canonical, as in offers and requests */
    const char *family; /* equal to name where it stands alone */
    uint32_t mem_mib;
    uint32_t watts;      /* board power limit (TDP) */
    uint32_t idle_watts; /* drawn while no task uses it */
    /* Throughput relative to a V100 = 1000, for mixed-precision training; source in gpu.c. */
    uint32_t throughput_milli;
};

enum { WEIR_GPU_MODEL_ANY = 0xffff, WEIR_GPU_MODELS_MAX = 512 };

struct weir_gpu_table;

/* A table with the built-in models. Never NULL. */
struct weir_gpu_table *weir_gpu_table_new(void);
void weir_gpu_table_free(struct weir_gpu_table *t);

/*
 * The number of the model with that name, in any case and with the usual spellings ("NVIDIA A100-SXM4-80GB",
 * "Tesla T4", "a100-80gb"): known aliases are folded to the canonical name. Unknown names are added.
 * WEIR_GPU_MODEL_ANY where the name is empty, not text, or over 48 bytes, or the table is full.
 */
uint16_t weir_gpu_table_intern(struct weir_gpu_table *t, struct weir_sv name);
/* As intern, but WEIR_GPU_MODEL_ANY where the name is not known. */
uint16_t weir_gpu_table_find(const struct weir_gpu_table *t, struct weir_sv name);
/* Borrowed until the table is freed. model must be a number that this table gave. */
const struct weir_gpu_model *weir_gpu_table_get(const struct weir_gpu_table *t, uint16_t model);
size_t weir_gpu_table_count(const struct weir_gpu_table *t);
/* True where a GPU of model `have` satisfies a request for `want`: the same model, or want names the
 * family and have is a member with at least want's memory, or want is WEIR_GPU_MODEL_ANY. */
bool weir_gpu_table_match(const struct weir_gpu_table *t, uint16_t want, uint16_t have);
/* NULL-terminated list of all names, for suggestions; borrowed until the next intern. */
const char *const *weir_gpu_table_names(struct weir_gpu_table *t);
