/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared by the files of spec: the document tree that YAML and JSON both become, and the reader
 * that turns it into a specification.
 */

#include "base/mem.h"
#include "spec/doc.h"
#include "spec/spec.h"

enum {
    DOC_NODES_MAX = 20000,  /* after aliases are expanded */
    DOC_ENTRIES_MAX = 1024, /* of one list or mapping */
    SCRIPT_OPTIONS_MAX = 256,
    PATH_MAX_BYTES = 4096,
    IMAGE_MAX_BYTES = 512,
    ARGS_MAX = 4096,
    GPU_NAME_MAX = 48,
    GPU_MODELS_ASKED_MAX = WEIR_GPU_MODELS_MAX / 4 * 3,
    CPU_MILLI_MAX = 100000000, /* 100,000 cores */
    INDEX_MAX = 999999999,     /* of an array */
    LINE_MAX_BYTES = 8192,     /* of one #SBATCH line */
};
#define MEM_MIB_MAX (UINT64_C(1) << 40)
#define DURATION_MAX_US (3650 * WEIR_US_PER_DAY)
#define DEFAULT_DURATION_US (24 * WEIR_US_PER_HOUR)
#define DEFAULT_GRACE_US (30 * WEIR_US_PER_S)
#define MONEY_MAX_MICRO (INT64_C(1000000000) * WEIR_MICRO_PER_UNIT)

struct reader {
    const char *file_name; /* NULL: no file, then errors have no place */
    struct weir_spec *spec;
    struct weir_gpu_table *gpus;
    struct weir_err *err;
    const char *const *given; /* names of variables that the caller sets afterwards; NULL: none */
    size_t n_given;
    bool is_skypilot;
    bool is_json; /* strict: canonical keys only */
    bool has_market;
};

/* Fails with "file:line:column: path: message" (what is known of it). */
int read_fail(const struct reader *rd,
              const struct doc *at,
              int code,
              const char *path,
              const char *fmt,
              ...) __attribute__((format(printf, 5, 6)));
/* As read_fail for an error whose text is in rd->err already. */
int read_fail_prefix(const struct reader *rd, const struct doc *at, int code, const char *path);
void read_warn(const struct reader *rd,
               const struct doc *at,
               const char *path,
               const char *fmt,
               ...) __attribute__((format(printf, 4, 5)));

struct key_row {
    const char *key;
    const char *path;
    int (*read)(struct reader *rd, const struct doc *d, const char *path);
    bool skypilot; /* a file with this key is a SkyPilot file; not part of the canonical JSON */
};

/* ---- values (read_value.c) ---- */

/* The value is a list where a number is wanted, and the like: `want` is "a list of ...". */
int read_wrong_kind(const struct reader *rd, const struct doc *d, const char *path, const char *want);
int read_scalar(struct reader *rd, const struct doc *d, const char *path, struct weir_sv *ret);
/* "64" of "64+": at least so much, which is what weir gives anyway. */
int read_at_least(struct reader *rd, const struct doc *d, const char *path, struct weir_sv *ret);
/* Frees what *ret has, and copies the text. */
void read_replace(char **ret, struct weir_sv text);
/* Any text without NUL, newlines included. */
int read_text(struct reader *rd, const struct doc *d, const char *path, char **ret);
/* Is it one line of text, not empty, and of bytes_max at most? */
int read_check_line(struct reader *rd, const struct doc *d, const char *path, size_t bytes_max, struct weir_sv text);
/* Replaces *ret by the text of a scalar that is one line of text. */
int read_line(struct reader *rd, const struct doc *d, const char *path, size_t bytes_max, char **ret);
int read_u64(struct reader *rd, const struct doc *d, const char *path, uint64_t min, uint64_t max, uint64_t *ret);
int read_duration(struct reader *rd, const struct doc *d, const char *path, struct weir_dur *ret);
/* In millionths, at least min. */
int read_money(struct reader *rd, const struct doc *d, const char *path, int64_t min, int64_t *ret);
/* A size, in MiB rounded up. */
int read_mib(struct reader *rd, const struct doc *d, const char *path, uint64_t max, uint64_t *ret);
int read_pairs(struct reader *rd, const struct doc *d, const char *path, size_t pairs_max, struct weir_pair **ret, size_t *ret_n);

/* ---- keys (read.c) ---- */

/* The keys of `resources`, for sky_candidates. */
int read_resource_keys(struct reader *rd, const struct doc *map, const char *path);
/* Reads every entry of map by its row; an unknown key is an error with a suggestion. */
int read_map(struct reader *rd,
             const struct doc *map,
             const struct key_row *rows,
             size_t n_rows,
             const char *path);
int read_accelerators(struct reader *rd, const struct doc *d, const char *path);
int read_cpus(struct reader *rd, const struct doc *d, const char *path);
int read_memory(struct reader *rd, const struct doc *d, const char *path);
int read_use_spot(struct reader *rd, const struct doc *d, const char *path);
/* The whole document of a weir or SkyPilot file, or of the canonical JSON. */
int read_document(struct reader *rd, const struct doc *root);

/* ---- what only SkyPilot has (skypilot.c) ---- */

/* Named in a warning; the reason is looked up by path. */
int sky_ignore(struct reader *rd, const struct doc *d, const char *path);
/* Refused; the reason is looked up by path. */
int sky_refuse(struct reader *rd, const struct doc *d, const char *path);
int sky_infra(struct reader *rd, const struct doc *d, const char *path);
int sky_cloud(struct reader *rd, const struct doc *d, const char *path);
int sky_region(struct reader *rd, const struct doc *d, const char *path);
int sky_zone(struct reader *rd, const struct doc *d, const char *path);
int sky_instance_type(struct reader *rd, const struct doc *d, const char *path);
int sky_labels(struct reader *rd, const struct doc *d, const char *path);
int sky_job_recovery(struct reader *rd, const struct doc *d, const char *path);
int sky_priority(struct reader *rd, const struct doc *d, const char *path);
int sky_file_mounts(struct reader *rd, const struct doc *d, const char *path);
int sky_secrets(struct reader *rd, const struct doc *d, const char *path);
/* resources with any_of or ordered: every candidate over the common keys, merged into one request.
 */
int sky_candidates(struct reader *rd, const struct doc *resources, const char *path);
/* inputs of SkyPilot's form, {url: size in GB}; false where d has the form of weir. */
bool sky_is_size_estimate(const struct doc *d);
/* After all keys were read: SkyPilot's defaults, and what workdir means. */
int sky_finish(struct reader *rd, const struct doc *root);

/* A script with or without #SBATCH lines. */
int script_parse(struct weir_sv text,
                 const char *file_name,
                 struct weir_gpu_table *gpus,
                 struct weir_spec *s,
                 struct weir_err *err);

void spec_warn(struct weir_spec *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends; the caller has checked the maximum. Takes ownership of neither. */
void pair_add(struct weir_pair **pairs, size_t *n, struct weir_sv key, struct weir_sv value);
/* Adds a pattern to the clouds or regions; -WEIR_EINVAL or -WEIR_ELIMIT where it does not fit.
 * Adding one twice does nothing. */
int spec_add_cloud(struct weir_request *r, struct weir_sv pattern, struct weir_err *err);
int spec_add_region(struct weir_request *r, struct weir_sv pattern, struct weir_err *err);
/* Signal number of "USR1", "SIGUSR1" or "10"; 0 where there is no such signal. */
int signal_parse(struct weir_sv name);
/* "USR1"; NULL where the number has no name. */
const char *signal_name(int number);
/* A valid job name made of free text: what is not allowed becomes '-'. Caller frees; never NULL. */
char *name_from(struct weir_sv text);
/* Fills the default name from a file's name: without folders and without the last suffix. */
void spec_name_from_file(struct weir_spec *s, const char *file_name);
/* KiB, MiB... to whole MiB, rounded up. */
uint64_t mib_of_bytes(uint64_t bytes);
